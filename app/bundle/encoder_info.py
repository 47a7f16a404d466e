"""The content of `encoder.json`: how an encoder was exported, and into which files."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

INFO_FILE = "encoder.json"
Pooling: TypeAlias = Literal["mean", "cls", "weighted_mean"]


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """An encoder, and its files. Fields that older bundles lack have defaults.

    Attributes:
        id: name and fingerprint; it changes with weights, tokenizer, pooling, prompts and
            max_tokens.
        dim: length of a vector.
        max_tokens: texts are cut to this many tokens, special ones and the prompt included.
        pooling: how token vectors become one: their mean, the first one, or their mean with
            weights 1, 2, 3, … by position.
        heads, layers: how many the transformer has; 0 heads where only the graph needs to know.
        epsilon: of its layer norms.
        weights: name of the safetensors file: `words` and `places` (word and position embeddings)
            float16[rows, dim], then for each layer float16 matrices [out, in] and float32 vectors.
            None: the graph holds its own weights, and only ONNX Runtime can run the encoder.
        kernel: name of the safetensors file with the weights for our own kernel (see
            `app.offline.encoder.kernel_weights`); None if the encoder's widths do not suit it.
        graph: name of the ONNX graph, which refers to the file of weights if there is one.
        tokenizer: name of the tokenizer's file, which also says where texts are cut.
        weights_sha256: over names, shapes and float32 values of the source weights.
        versions: of the libraries that exported it.
        query_prompt, item_prompt: what stands before every query, and before the text of every
            item; "" for most models.
        padding: token number of cells without a token, for a graph that holds its own weights.
        cosine, least_cosine: of our vectors to those of the original model, mean and minimum over
            random texts, measured when it was exported; None in older bundles.
        centre: the mean of vectors of random texts, float[dim], where these are alike; else None.
            See `app.engine.encoding.text_vectors`.
        architecture: class of the transformer; "" in bundles from before it was noted.
        no_kernel: why there is no `kernel`; "" if there is one, and in older bundles.
    """

    id: str
    dim: int
    max_tokens: int
    pooling: Pooling
    heads: int
    layers: int
    epsilon: float
    weights: str | None
    graph: str
    tokenizer: str
    weights_sha256: str
    versions: dict[str, str]
    kernel: str | None = None
    query_prompt: str = ""
    item_prompt: str = ""
    padding: int = 0
    cosine: float | None = None
    least_cosine: float | None = None
    centre: tuple[float, ...] | None = None
    architecture: str = ""
    no_kernel: str = ""

    def lines(self) -> list[str]:
        """Return what a build says of its encoder: what it is, how it runs, and its prompts."""
        runs = f"on ONNX Runtime, as {self.no_kernel}" if self.no_kernel else "on our kernel"
        pooling = self.pooling.replace("_", " ")
        shape = f"{self.architecture}, {pooling} pooling" if self.weights else self.architecture
        said = [f"encoder: {shape}, up to {self.max_tokens} tokens, {runs}"]
        if self.cosine is not None and self.least_cosine is not None:
            said[0] += (
                f"; cosine to the original {self.cosine:.4f} in the mean, "
                f"{self.least_cosine:.4f} at least"
            )
        if self.query_prompt or self.item_prompt:
            said.append(
                f"prompts: {self.query_prompt!r} for queries, {self.item_prompt!r} for items"
            )
        if self.centre is not None:
            alike = sum(each * each for each in self.centre)
            said.append(
                f"unrelated texts have a cosine of {alike:.2f}: what they share is taken away"
            )
        return said
