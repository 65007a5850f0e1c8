"""Key maps of MS-CLAP 2023 (github.com/microsoft/CLAP): the audio tower, or both towers."""

from avseg.checkpoints.keymaps.key_map import KeyMap, drop, rename, same, split

_BLOCK = "layers.{i}.blocks.{j}"

_HTSAT = KeyMap(
    (
        rename("bn0.{part}", "batch_norm.{part}"),
        same("patch_embed.{name:proj|norm}.{part}"),
        rename(_BLOCK + ".norm1.{part}", _BLOCK + ".layernorm_before.{part}"),
        rename(_BLOCK + ".norm2.{part}", _BLOCK + ".layernorm_after.{part}"),
        split(
            _BLOCK + ".attn.qkv.{part}",
            _BLOCK + ".attention.self.query.{part}",
            _BLOCK + ".attention.self.key.{part}",
            _BLOCK + ".attention.self.value.{part}",
        ),
        rename(
            _BLOCK + ".attn.relative_position_{name:bias_table|index}",
            _BLOCK + ".attention.self.relative_position_{name}",
        ),
        rename(_BLOCK + ".attn.proj.{part}", _BLOCK + ".attention.output.dense.{part}"),
        rename(_BLOCK + ".mlp.fc1.{part}", _BLOCK + ".intermediate.dense.{part}"),
        rename(_BLOCK + ".mlp.fc2.{part}", _BLOCK + ".output.dense.{part}"),
        # transformers computes the mask of shifted windows.
        drop(_BLOCK + ".attn_mask"),
        same("layers.{i}.downsample.{name:reduction|norm}.{part}"),
        same("norm.{part}"),
        # The Fourier transform as weights of a convolution; here it is computed by `torch.stft`.
        drop("spectrogram_extractor.{rest}"),
        # The classifier for the classes of AudioSet.
        drop("{name:tscam_conv|head}.{part}"),
    )
)

_AUDIO = (
    _HTSAT.under("audio_encoder.base.htsat.", "htsat.audio_encoder.")
    + KeyMap((rename("audio_encoder.base.htsat.logmel_extractor.melW", "mel_bank"),))
    + KeyMap((same("{name:linear1|linear2|layer_norm}.{part}"),)).under(
        "audio_encoder.projection.", "projection."
    )
)

_GPT2 = KeyMap(
    (
        # Constants that older versions of transformers saved: the causal mask and its fill value.
        drop("h.{i}.attn.{name:bias|masked_bias}"),
        same("{name:wte|wpe}.weight"),
        same("h.{i}.{name:ln_1|ln_2|attn.c_attn|attn.c_proj|mlp.c_fc|mlp.c_proj}.{part}"),
        same("ln_f.{part}"),
    )
)

#: Key map of the audio tower alone.
CLAP = _AUDIO + KeyMap((drop("caption_encoder.{rest}"), drop("logit_scale")))

#: Key map of a `ClapNamer`: audio tower, text tower and logit scale.
CLAP_WITH_TEXT = (
    _AUDIO.under("", "clap.")
    + _GPT2.under("caption_encoder.base.", "clap_text.gpt2.")
    + KeyMap((same("{name:linear1|linear2|layer_norm}.{part}"),)).under(
        "caption_encoder.projection.", "clap_text.projection."
    )
    + KeyMap((rename("logit_scale", "log_scale"),))
)
