"""Pre-training of the small backbones on SynthAVS."""
