//! The dialects. Each is a decoder and an encoder of its own; none knows another.
