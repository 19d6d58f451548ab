"""The Inference service: a real vLLM engine behind token-in, token-out gRPC."""
