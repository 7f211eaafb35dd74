"""How the shipped models were made: corpus, synthetic text, tokenizer, training, sentiment, model card. See README.md here."""
