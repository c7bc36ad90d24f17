"""Scoring by the published rules, one protocol a module: pure functions on strings, numbers and arrays.

Every score is a fraction in [0, 1]; the paper's tables print the same number times 100. What a model wrote is scored
whatever it is (empty, foreign, a megabyte of brackets), in time linear in its length; a truth that contradicts itself
raises `EvaluationError`. The rules are those of the published task code (lmms-eval 0.7.3), quirks included: each
docstring names the quirks it keeps and the rows of the reported tables that it scores.

`run` puts a dataset of `ov2lib.samples.sample` through any model and keeps answers and scores: `scorers` has the rule of each
task, `predict` makes a model answer, `baselines` answers without one. `lmms_eval` builds the commands for the full benchmarks
and reads their result files.
"""
