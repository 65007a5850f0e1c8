"""Build a small cascade for SynthAVS from the packaged av2t-sam-small; only a text tower is fitted.

python tools/fit_small_cascade.py OUT [--sounds FOLDER] [--loss softmax]

CLAP's audio tower, BEiT-3 and SAM 2 are those of the packaged model. The text tower, which the
package does not contain, is fitted to the frozen audio tower: 1,500 steps of 128 among 8,000
mixtures, with the loss of the recipe clap_small or with a softmax, as the published CLAPs were
trained. `tools/make_small_cascade.py` combines trained runs instead, whose EVF-SAM was not changed
by the training of AV2T-SAM.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from avseg.backbones.clap_text import ClapTokenizer
from avseg.backbones.clip import ClipTextTower
from avseg.backbones.tokenizing import WordTokenizer
from avseg.checkpoints import find_checkpoint
from avseg.checkpoints.loading import load_checkpoint
from avseg.models.cascade import CascadeConfig, CascadeModel, CascadeProcessor
from avseg.models.tiny import TINY_CLAP_TEXT
from avseg.synthavs.captions import WORDS, category_captions
from avseg.synthavs.categories import CATEGORIES
from avseg.synthavs.corpora import AudioTextCorpus, load_sound_bank
from avseg.training.pretraining.objectives import ContrastivePretraining

STEPS, BATCH, TRAINING, MEASURED = 1500, 128, 8000, 1000
RECORDINGS, SEED, LEARNING_RATE = 20, 12, 1.5e-3


class SoftmaxPretraining(ContrastivePretraining):
    """Contrastive pre-training of a tower with captions (CLIP's loss).

    The logits of an item compete in a softmax over the captions, those of a caption in a softmax
    over the items. An item with several audible categories has several positive captions.
    """

    def contrast_loss(self, logits: Tensor, present: Tensor) -> Tensor:
        """Compute the mean cross-entropy of both softmaxes, a scalar."""
        losses = []
        for scores, positive in ((logits, present), (logits.T, present.T)):
            chosen = positive.any(1)
            targets = positive[chosen] / positive[chosen].sum(1, keepdim=True)
            losses.append(nn.functional.cross_entropy(scores[chosen], targets))
        return torch.stack(losses).mean()


LOSSES = {"sigmoid": ContrastivePretraining, "softmax": SoftmaxPretraining}


@torch.inference_mode()
def embed_mixtures(tower: nn.Module, sounds: Path) -> tuple[Tensor, Tensor]:
    """Embed audio mixtures: embeddings (N, D) and present categories (N, C)."""
    corpus = AudioTextCorpus(TRAINING + MEASURED, load_sound_bank(sounds, RECORDINGS), SEED)
    batches = [
        (tower(batch["audio_values"]), batch["present"])
        for batch in DataLoader(corpus, batch_size=64)
    ]
    embeddings, present = (torch.cat(values) for values in zip(*batches, strict=True))
    return embeddings.clone(), present


def fit_text_tower(embeddings: Tensor, present: Tensor, loss: str) -> ContrastivePretraining:
    """Fit a text tower to embeddings of audio with one of `LOSSES`."""
    torch.manual_seed(0)
    captions = torch.from_numpy(category_captions())
    model = LOSSES[loss](nn.Identity(), ClipTextTower(TINY_CLAP_TEXT), captions)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        index = torch.randint(0, TRAINING, (BATCH,), generator=generator)
        optimizer.zero_grad()
        model(embeddings[index], present[index]).loss.backward()
        optimizer.step()
        schedule.step()
    return model


@torch.no_grad()
def measure_found(model: ContrastivePretraining, embeddings: Tensor, present: Tensor) -> float:
    """Return the share of k present categories that are among the k highest scores."""
    order = model.compare(embeddings)[:, :-1].argsort(1, descending=True)
    shares = [
        row[ranks[: int(row.sum())]].mean()
        for row, ranks in zip(present[:, :-1], order, strict=True)
        if row.any()
    ]
    return float(torch.stack(shares).mean())


def main() -> None:
    """Fit the text tower and save the cascade."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sounds", type=Path, default=Path("sounds"))
    parser.add_argument("--loss", choices=tuple(LOSSES), default="sigmoid")
    options = parser.parse_args()
    loaded: Any = load_checkpoint(find_checkpoint("av2t-sam-small"))[0]
    embeddings, present = embed_mixtures(loaded.clap, options.sounds)
    fitted = fit_text_tower(embeddings, present, options.loss)
    found = measure_found(fitted, embeddings[TRAINING:], present[TRAINING:])
    print(f"found {found:.3f} of the audible categories")
    config = CascadeConfig.tiny()
    model: Any = CascadeModel(config)
    model.namer.clap.load_state_dict(loaded.clap.state_dict())
    model.namer.clap_text.load_state_dict(fitted.text_tower.state_dict())
    model.segmenter.load_state_dict(loaded.segmenter.state_dict())
    with torch.no_grad():
        model.namer.log_scale.copy_(fitted.log_scale)
    model.save_pretrained(options.out)
    processor = CascadeProcessor.from_config(
        config, ClapTokenizer.from_words(WORDS[:-1]), WordTokenizer(WORDS)
    )
    processor.with_vocabulary(CATEGORIES).save_pretrained(options.out)
    print(f"{options.out}: sha256 {find_checkpoint(options.out).sha256()}")


if __name__ == "__main__":
    main()
