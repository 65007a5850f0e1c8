"""Follow a clip through all stages, from the file to the masks, and print every shape.

python examples/stage_by_stage.py

The stages are those of `Segmenter`, which also skips silent frames: read a clip, prepare the
inputs, run the model, post-process its outputs. B clips, T frames, H x W size of the video, h x w
size of the mask logits.
"""

from pathlib import Path

import torch

import avseg

DEMO = Path(__file__).with_name("demo.mp4")


def main() -> None:
    """Run the four stages one by one."""
    segmenter = avseg.load_segmenter("av2t-sam-small", device="cpu")
    processor, model = segmenter.processor, segmenter.model

    clip = avseg.read_clip(DEMO, frames_per_second=1, sample_rate=processor.sample_rate)
    print("1. clip: frames (T, H, W, 3)", clip.frames.shape, "audio (samples,)", clip.audio.shape)

    inputs = processor(clip)
    for name, values in inputs.items():
        print(f"2. inputs: {name}", tuple(values.shape))

    with torch.inference_mode():
        outputs = model(**inputs)
    print("3. outputs: mask_logits (B, T, h, w)", tuple(outputs.mask_logits.shape))

    (masks,) = processor.post_process(outputs, [clip.frames.shape[1:3]], threshold=0.5)
    print("4. masks (T, H, W)", masks.shape, "scores", processor.scores(outputs)[0].round(2))


if __name__ == "__main__":
    main()
