"""The Hub: `client` is the only module that imports huggingface_hub; `store` and `server` are the embedded Hub."""
