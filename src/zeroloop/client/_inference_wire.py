"""Generation and scoring, from values to messages and back; both ends use it."""

from collections.abc import Sequence

from zeroloop.core.generation import (
    Completion,
    FinishReason,
    Model,
    Prompt,
    Sampling,
    Score,
    ScoredTokens,
    WeightsSpan,
)
from zeroloop.core.rounds import logprob_array, token_array
from zeroloop.errors import InternalError, invalid
from zeroloop.inference.v1 import inference_pb2 as pb

_REASON_TO_PB = {
    FinishReason.STOP: pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: pb.FINISH_REASON_LENGTH,
}
_REASON_FROM_PB = {number: reason for reason, number in _REASON_TO_PB.items()}


def generate_request_to_pb(
    prompts: Sequence[Prompt], sampling: Sampling, min_weights_version: int
) -> pb.GenerateRequest:
    """Return the message that asks for `sampling.n` completions of each prompt."""
    return pb.GenerateRequest(
        prompts=[_prompt_to_pb(prompt) for prompt in prompts],
        sampling=pb.Sampling(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=sampling.max_tokens,
            n=sampling.n,
            logprobs=sampling.logprobs,
        ),
        min_weights_version=min_weights_version,
    )


def prompts_from_pb(messages: Sequence[pb.Prompt]) -> list[Prompt]:
    """Return the prompts of a request.

    Raises:
        InvalidRequestError: One has neither text nor tokens; names it.
    """
    return [_prompt_from_pb(index, message) for index, message in enumerate(messages)]


def sampling_from_pb(message: pb.Sampling) -> Sampling:
    """Return how completions are drawn, with the contract's defaults; ranges are not checked."""
    return Sampling(
        max_tokens=message.max_tokens,
        n=message.n or 1,
        temperature=message.temperature if message.HasField("temperature") else 1.0,
        top_p=message.top_p if message.HasField("top_p") else 1.0,
        top_k=message.top_k if message.HasField("top_k") else -1,
        logprobs=message.logprobs,
    )


def completion_to_pb(completion: Completion) -> pb.Completion:
    """Return the message for `completion`."""
    return pb.Completion(
        prompt_index=completion.prompt_index,
        sample_index=completion.sample_index,
        prompt_token_ids=completion.prompt_token_ids,
        token_ids=completion.token_ids,
        text=completion.text,
        logprobs=completion.logprobs,
        finish_reason=_REASON_TO_PB[completion.finish_reason],
        weights=[
            pb.WeightsSpan(weights_version=span.weights_version, start=span.start, end=span.end)
            for span in completion.weights
        ],
    )


def completion_from_pb(message: pb.Completion) -> Completion:
    """Return the completion that `message` holds.

    Raises:
        InternalError: The server gave no known reason for its end.
    """
    reason = _REASON_FROM_PB.get(message.finish_reason)
    if reason is None:
        raise InternalError(f"completion ended for the unknown reason {message.finish_reason}")
    return Completion(
        prompt_index=message.prompt_index,
        sample_index=message.sample_index,
        prompt_token_ids=token_array(message.prompt_token_ids),
        token_ids=token_array(message.token_ids),
        text=message.text,
        logprobs=logprob_array(message.logprobs),
        finish_reason=reason,
        weights=tuple(
            WeightsSpan(span.weights_version, span.start, span.end) for span in message.weights
        ),
    )


def score_request_to_pb(sequences: Sequence[ScoredTokens]) -> pb.ScoreRequest:
    """Return the message that asks for the log-probabilities of `sequences`."""
    return pb.ScoreRequest(
        sequences=[
            pb.Sequence(token_ids=sequence.token_ids, prompt_tokens=sequence.prompt_tokens)
            for sequence in sequences
        ]
    )


def sequences_from_pb(messages: Sequence[pb.Sequence]) -> list[ScoredTokens]:
    """Return the sequences of a request; ranges are not checked."""
    return [
        ScoredTokens(token_ids=list(message.token_ids), prompt_tokens=message.prompt_tokens)
        for message in messages
    ]


def score_to_pb(score: Score) -> pb.ScoreResponse:
    """Return the message for `score`."""
    return pb.ScoreResponse(
        sequence_index=score.sequence_index,
        logprobs=score.logprobs,
        weights_version=score.weights_version,
    )


def score_from_pb(message: pb.ScoreResponse) -> Score:
    """Return the score that `message` holds."""
    return Score(
        sequence_index=message.sequence_index,
        logprobs=logprob_array(message.logprobs),
        weights_version=message.weights_version,
    )


def model_to_pb(model: Model) -> pb.GetModelResponse:
    """Return the message for `model`."""
    return pb.GetModelResponse(
        model=model.model,
        tokenizer_digest=model.tokenizer_digest,
        dtype=model.dtype,
        context_tokens=model.context_tokens,
        vocabulary_tokens=model.vocabulary_tokens,
        weights_version=model.weights_version,
        engine=model.engine,
        engine_version=model.engine_version,
        sequences_concurrent_max=model.sequences_concurrent_max,
        eos_token_ids=model.eos_token_ids,
    )


def model_from_pb(message: pb.GetModelResponse) -> Model:
    """Return the model that `message` describes."""
    return Model(
        model=message.model,
        tokenizer_digest=message.tokenizer_digest,
        dtype=message.dtype,
        context_tokens=message.context_tokens,
        vocabulary_tokens=message.vocabulary_tokens,
        weights_version=message.weights_version,
        engine=message.engine,
        engine_version=message.engine_version,
        sequences_concurrent_max=message.sequences_concurrent_max,
        eos_token_ids=tuple(message.eos_token_ids),
    )


def _prompt_to_pb(prompt: Prompt) -> pb.Prompt:
    if prompt.token_ids is None:
        return pb.Prompt(text=prompt.text, seed=prompt.seed)
    return pb.Prompt(tokens=pb.Tokens(ids=prompt.token_ids), seed=prompt.seed)


def _prompt_from_pb(index: int, message: pb.Prompt) -> Prompt:
    seed = message.seed if message.HasField("seed") else None
    match message.WhichOneof("content"):
        case "text":
            return Prompt(text=message.text, seed=seed)
        case "tokens":
            return Prompt(token_ids=list(message.tokens.ids), seed=seed)
        case _:
            raise invalid(f"prompts[{index}].content", "set either text or tokens, got neither")
