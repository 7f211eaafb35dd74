"""The recipe of the shipped models: corpus, synthetic text, tokenizer, training, sentiment and model card."""
