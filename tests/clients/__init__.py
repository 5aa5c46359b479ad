"""Other people's MCP clients against the server as it is started for them: over stdio."""
