"""Make the shipped models: corpus, synthetic text, tokenizer, training, sentiment classifier and model cards."""
