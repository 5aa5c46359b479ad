// Loaded into the conformance suite, which has no option for it: every request shows the server's token.
import { subscribe } from "node:diagnostics_channel";

const value = `Bearer ${process.env.MCP_NOTEBOOK_TOKEN}`;
subscribe("undici:request:create", ({ request }) => request.addHeader("authorization", value));
subscribe("http.client.request.created", ({ request }) => request.setHeader("authorization", value));
