"""The answering engines: one module an engine, `opened(asked)` → a base that answers, alone and with an adapter."""
