// A TypeScript client uses our server. Run by the Node of .envs/node.
// Arguments: the package.json beside which the SDKs are installed, the server as JSON (a command, or the url
// and headers of a listener for HTTP), the cells as a JSON
// list of sources, "sdk" (the first SDK) or "client" (the second), and for the latter how it negotiates:
// "legacy" (the handshake) or "auto" (2026-07-28 where the server speaks it).
import { createRequire } from "node:module";

const require = createRequire(process.argv[2]);
const [server, sources] = process.argv.slice(3, 5).map((text) => JSON.parse(text));
const [sdk, mode] = process.argv.slice(5);

const { Client, StdioClientTransport, StreamableHTTPClientTransport } =
  sdk === "sdk"
    ? {
        ...require("@modelcontextprotocol/sdk/client/index.js"),
        ...require("@modelcontextprotocol/sdk/client/stdio.js"),
        ...require("@modelcontextprotocol/sdk/client/streamableHttp.js"),
      }
    : { ...require("@modelcontextprotocol/client"), ...require("@modelcontextprotocol/client/stdio") };

const client = new Client(
  { name: "typescript", version: "1" },
  mode ? { versionNegotiation: { mode } } : {},
);
await client.connect(
  server.url
    ? new StreamableHTTPClientTransport(new URL(server.url), { requestInit: { headers: server.headers } })
    : new StdioClientTransport(server),
);
const tools = (await client.listTools()).tools.map((tool) => tool.name);
// Over HTTP the 2026-07-28 era has no session but the one that each call names.
const opened = server.url ? await client.callTool({ name: "open_session", arguments: {} }) : null;
const session = opened ? { session: opened.structuredContent.session } : {};
const answers = [];
for (const source of sources) {
  const result = await client.callTool({ name: "execute_cell", arguments: { source, ...session } });
  const texts = result.content.filter((block) => block.type === "text").map((block) => block.text);
  const images = result.content.filter((block) => block.type === "image").map((block) => block.mimeType);
  answers.push({ is_error: result.isError ?? false, text: texts.join("\n"), images });
}
const protocol = client.getNegotiatedProtocolVersion?.() ?? null; // the first SDK does not tell
await client.close();
console.log(JSON.stringify({ protocol, tools, answers }));
