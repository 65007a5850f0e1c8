"""SynthAVS: a synthetic benchmark of drawn objects and synthesized sounds, with exact masks."""
