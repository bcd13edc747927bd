"""How the small demonstration model that ships with llm-magics is made: corpus, tokenizer, training, export."""
