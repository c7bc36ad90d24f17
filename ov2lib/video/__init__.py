"""A file → packets, pictures and what the codec says about them: motion, residual, quantiser, bits. Stills too."""
