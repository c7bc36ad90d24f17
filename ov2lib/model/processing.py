class LlavaOnevision2Processor: pass
