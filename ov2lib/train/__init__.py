"""Training: one sample schema, four stages, packing, LoRA, and Hugging Face's Trainer on accelerate."""
