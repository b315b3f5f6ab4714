"""The dialects that coding tools and providers speak: decoders and encoders over one neutral list of events. No I/O."""
