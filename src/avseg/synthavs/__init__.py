"""SynthAVS: a synthetic benchmark with exact masks."""
