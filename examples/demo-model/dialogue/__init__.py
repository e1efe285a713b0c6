"""The dialogues that the demo model is trained on: a small grammar, intents as data, and how turns make a conversation."""
