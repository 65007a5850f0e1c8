"""The papers in small: their tables again, trained and measured on SynthAVS, beside their own."""
