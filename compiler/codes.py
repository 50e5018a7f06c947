"""Every kind of mistake that is told: its stable code, what it means, and a recipe before and after it is mended.

`Code` is what a Problem may carry, so mypy refuses a code that is not here. `docs/errors.md` and `rung errors CODE` are
made from `PAGES`; the tests compile every example.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

Code: TypeAlias = Literal[
    "bad-key",
    "bad-name",
    "bad-override",
    "bad-variable",
    "contamination",
    "cycle",
    "duplicate-key",
    "duplicate-value",
    "indivisible",
    "merge-key",
    "misplaced-key",
    "missing-file",
    "missing-key",
    "name-clash",
    "no-rewards",
    "no-verifier",
    "not-utf8",
    "not-yaml",
    "not-yet",
    "out-of-range",
    "outside-folder",
    "over-budget",
    "swept-report",
    "tag",
    "too-few",
    "too-large",
    "too-long",
    "unknown-anchor",
    "unknown-cluster",
    "unknown-key",
    "unknown-kind",
    "unknown-name",
    "unknown-path",
    "unknown-ref",
    "unknown-variable",
    "wrong-artifact",
    "wrong-choice",
    "wrong-model",
    "wrong-responses",
    "wrong-tokenizer",
    "wrong-type",
    "wrong-value",
    "wrong-version",
    "wrong-vocabulary",
]

MARK = "\u2038"
"""Stands in a wrong example directly before the place that the problem names."""


class Page(NamedTuple):
    """What there is to say of one code."""

    title: str
    meaning: str
    wrong: str
    """The mistake, with `MARK` at its place."""
    mended: str
    form: Literal["recipe", "command", "files"] = "recipe"
    """`recipe`: a whole recipe if it begins with `rung: 1`, else a part of one. `command`: what is typed. `files`: a
    mistake that one recipe cannot show; the example says what lies where."""


PAGES: Mapping[Code, Page] = {
    "bad-key": Page(
        "a key is not a single word",
        "What stands before a colon must be a plain word. Most often a variable inside { } lacks its quotes, so that "
        "YAML reads its braces as a mapping.",
        """\
rung: 1
name: tiny
pipeline:
  web: {? ‸[prompts, more] : 1}
""",
        """\
rung: 1
name: tiny
pipeline:
  web: {kind: prompts}
""",
    ),
    "bad-name": Page(
        "a name has characters that names do not have",
        "Stages, loops, params and pieces are named by letters, digits, _ and -, beginning with a letter: names become "
        "parts of labels and folders, and a dot separates them. `round` and `params` have a meaning of their own.",
        """\
pipeline:
  ‸web 2: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: 1}
""",
        """\
pipeline:
  web_2: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: 1}
""",
    ),
    "bad-override": Page(
        "an override is not PATH=VALUE",
        "`--set` takes the path of one value, an equals sign and the new value.",
        "rung check recipe.yaml --set ‸params.seed\n",
        "rung check recipe.yaml --set params.seed=2\n",
        "command",
    ),
    "bad-variable": Page(
        "a variable is not closed, or stands where none may",
        "A variable is written ${params.name}. Params themselves are plain values: they are what variables stand for, "
        "so they do not refer to each other.",
        """\
params: {noise: 0.1, more_noise: ‸"${params.noise}"}
pipeline:
  web_2: {kind: annotate, prompts: web_prompts, error_rate: "${params.more_noise}", seed: 1}
""",
        """\
params: {noise: 0.1, more_noise: 0.1}
pipeline:
  web_2: {kind: annotate, prompts: web_prompts, error_rate: "${params.more_noise}", seed: 1}
""",
    ),
    "contamination": Page(
        "an exam uses prompts that the model has learnt from",
        "What a policy or a reward model is evaluated on must be a part of the split that nothing before it was "
        "trained on, or the figures mean nothing. Every path from prompts to the model is followed.",
        """\
pipeline:
  seen: {kind: prompts, generator: all, count: 100, split: by_prompt, parts: [sft], seed: 9}
  exam: {kind: evaluate, policy: sft, prompts: ‸seen, max_new_tokens: 8, seed: 1}
""",
        """\
pipeline:
  unseen: {kind: prompts, generator: all, count: 100, split: by_prompt, parts: [exam], seed: 9}
  exam: {kind: evaluate, policy: sft, prompts: unseen, max_new_tokens: 8, seed: 1}
""",
    ),
    "cycle": Page(
        "something leads back to itself",
        "Stages that need each other, files that use each other, models that extend each other, an anchor that "
        "contains itself: there is no first one to begin with. The message tells the circle.",
        """\
models:
  first: {extends: second, num_layers: 2}
  second: {extends: ‸first, num_layers: 4}
pipeline: {}
""",
        """\
models:
  first: {extends: small, num_layers: 2}
  second: {extends: first, num_layers: 4}
pipeline: {}
""",
    ),
    "duplicate-key": Page(
        "one key stands twice in a mapping",
        "Only one of the two values could count, and YAML readers disagree which. Remove one, or rename one of two "
        "stages. Two names of one stage in a blend are the same mistake.",
        """\
pipeline:
  web_2: {kind: annotate, prompts: web_prompts, error_rate: 0.1, ‸error_rate: 0.2, seed: 1}
""",
        """\
pipeline:
  web_2: {kind: annotate, prompts: web_prompts, error_rate: 0.2, seed: 1}
""",
    ),
    "duplicate-value": Page(
        "one value stands twice in a list of different ones",
        "The points of a sweep and the parts of a split are sets: the second mention would change nothing.",
        """\
matrix: {params.seed: [1, 2, ‸1]}
pipeline: {}
""",
        """\
matrix: {params.seed: [1, 2, 3]}
pipeline: {}
""",
    ),
    "indivisible": Page(
        "a size does not divide",
        "Heads share the hidden size, query groups share heads, and a layout shares heads, layers, vocabulary and "
        "batches among ranks: each of these divisions must come out even. It would fail at the start of training, so "
        "it is refused here.",
        """\
pipeline:
  sft_2:
    kind: sft
    init: base
    data: web
    epochs: 1
    global_batch_size: 32
    learning_rate: {shape: constant, start: 1e-3, end: 1e-3, warmup_steps: 0}
    optimizer: adam
    precision: fp32
    seed: 1
    placement: {layout: {dp: ‸3}}
""",
        """\
pipeline:
  sft_2:
    kind: sft
    init: base
    data: web
    epochs: 1
    global_batch_size: 32
    learning_rate: {shape: constant, start: 1e-3, end: 1e-3, warmup_steps: 0}
    optimizer: adam
    precision: fp32
    seed: 1
    placement: {layout: {dp: 4}}
""",
    ),
    "merge-key": Page(
        "a YAML merge key",
        "`<<: *anchor` copies keys without saying which of them win. A model says `extends`; optimizers, generators "
        "and the like are given names in their sections and are referred to.",
        """\
models:
  wider: {‸<<: {num_layers: 4}, hidden_size: 256}
pipeline: {}
""",
        """\
models:
  wider: {extends: small, hidden_size: 256}
pipeline: {}
""",
    ),
    "misplaced-key": Page(
        "a used file says what only the recipe may say",
        "Files named by `use` bring sections, params and stages. The experiment has one name, and the recipe gives it.",
        """\
# recipe.yaml
rung: 1
name: tiny
use: [shapes.yaml]
pipeline: {}

# shapes.yaml
‸name: shapes
models: {}
""",
        """\
# recipe.yaml
rung: 1
name: tiny
use: [shapes.yaml]
pipeline: {}

# shapes.yaml
models: {}
""",
        "files",
    ),
    "missing-file": Page(
        "a file is not there, or cannot be read",
        "Paths under `use` are relative to the file that names them, not to the working directory. Only regular files "
        "are read: no folders, pipes or devices.",
        """\
rung: 1
name: tiny
use: [‸no_such_file.yaml]
pipeline: {}
""",
        """\
rung: 1
name: tiny
use: [world.yaml]
pipeline: {}
""",
    ),
    "missing-key": Page(
        "a key that must be written is not there",
        "No key that changes what is learnt has a default, so that a recipe can be read without this program at hand. "
        "The hint says what the key means.",
        """\
pipeline:
  web_2: ‸{kind: annotate, prompts: web_prompts, seed: 1}
""",
        """\
pipeline:
  web_2: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: 1}
""",
    ),
    "name-clash": Page(
        "one name is given twice",
        "A recipe and the files that it uses share their sections, and a loop sees the stages around it: a name that "
        "stands in both would mean two things.",
        """\
pipeline:
  rounds:
    repeat: 2
    stages:
      ‸rounds: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: 1}
""",
        """\
pipeline:
  rounds:
    repeat: 2
    stages:
      web_2: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: 1}
""",
    ),
    "no-rewards": Page(
        "pairs without the rewards that the loss weighs",
        "RPO aims at the judged difference of two answers, and so do Bradley-Terry's margins. Pairs of a pair stage "
        "carry both rewards; adopted pairs do where `source.fields` names them.",
        """\
pipeline:
  others:
    kind: adopt
    artifact: preferences
    name: pairs of others
    revision: "1"
    source: {kind: rows, format: jsonl, fields: {}}
    files: [pairs.jsonl]
  tuned:
    kind: prefer
    init: sft
    reference: sft
    data: ‸others
    loss: {kind: rpo, distance: bwd_kl, beta: 0.1, eta: 1.0, sft_weight: 0, sft_average: false}
    epochs: 1
    global_batch_size: 32
    learning_rate: {shape: constant, start: 1e-4, end: 1e-4, warmup_steps: 0}
    optimizer: adam
    precision: fp32
    seed: 1
""",
        """\
pipeline:
  others:
    kind: adopt
    artifact: preferences
    name: pairs of others
    revision: "1"
    source: {kind: rows, format: jsonl, fields: {chosen_reward: score_chosen, rejected_reward: score_rejected}}
    files: [pairs.jsonl]
  tuned:
    kind: prefer
    init: sft
    reference: sft
    data: others
    loss: {kind: rpo, distance: bwd_kl, beta: 0.1, eta: 1.0, sft_weight: 0, sft_average: false}
    epochs: 1
    global_batch_size: 32
    learning_rate: {shape: constant, start: 1e-4, end: 1e-4, warmup_steps: 0}
    optimizer: adam
    precision: fp32
    seed: 1
""",
    ),
    "no-verifier": Page(
        "nothing can check these answers",
        "Ground truth is what a prompt's verifier says: a task family's own, or the one that `source.verifier` of "
        "adopted prompts names. Open questions have none; their answers are judged by a model.",
        """\
pipeline:
  open_questions:
    kind: adopt
    artifact: prompts
    name: questions
    revision: "1"
    source: {kind: rows, format: jsonl, fields: {}}
    files: [questions.jsonl]
  exam: {kind: evaluate, policy: sft, prompts: ‸open_questions, max_new_tokens: 8, seed: 1}
""",
        """\
pipeline:
  open_questions:
    kind: adopt
    artifact: prompts
    name: questions
    revision: "1"
    source: {kind: rows, format: jsonl, fields: {}, verifier: numeric}
    files: [questions.jsonl]
  exam: {kind: evaluate, policy: sft, prompts: open_questions, max_new_tokens: 8, seed: 1}
""",
    ),
    "not-utf8": Page(
        "a file is not UTF-8",
        "The first byte that is none is shown. Save the file as UTF-8; `file recipe.yaml` tells what it is now.",
        """\
# recipe.yaml, saved as Latin-1
rung: 1
name: ‸énigme
pipeline: {}
""",
        """\
# recipe.yaml, saved as UTF-8
rung: 1
name: enigma
pipeline: {}
""",
        "files",
    ),
    "not-yaml": Page(
        "the text is not YAML",
        "The place is where the reader could not go on; the mistake is there or just before it. Most often: a tab, an "
        "indentation that no other line has, a bracket that is not closed, a value with `: ` or ${ } without quotes.",
        """\
rung: 1
name: tiny
pipeline:
  web: {kind: annotate‸
""",
        """\
rung: 1
name: tiny
pipeline:
  web: {kind: annotate}
""",
    ),
    "not-yet": Page(
        "the language says it, but this version cannot run it",
        "Such a recipe is checked, drawn, planned and rendered. `rung run` and `rung submit` refuse it before any job "
        "exists.",
        "rung run specs/experiments/nemotron4-340b.yaml\n",
        "rung plan specs/experiments/nemotron4-340b.yaml\n",
        "command",
    ),
    "out-of-range": Page(
        "a number is too large or too small",
        "The message says the bounds. Shares and rates lie from 0 to 1, counts begin at 1.",
        """\
pipeline:
  web_2: {kind: annotate, prompts: web_prompts, error_rate: ‸10, seed: 1}
""",
        """\
pipeline:
  web_2: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: 1}
""",
    ),
    "outside-folder": Page(
        "a used file lies outside the recipe's folders",
        "A relative path under `use` stays within the folder above the recipe's own, links followed: so a recipe in "
        "specs/experiments reaches specs/models, and a slip of dots reads nothing else. What really lies elsewhere is "
        "named by its absolute path.",
        """\
rung: 1
name: tiny
use: [‸../../../elsewhere/shapes.yaml]
pipeline: {}
""",
        """\
rung: 1
name: tiny
use: [/elsewhere/shapes.yaml]
pipeline: {}
""",
    ),
    "over-budget": Page(
        "the plan takes more than the recipe allows",
        "A recipe may say under `budget` what its stages may take together: GPU-hours, cost, hours from first to last. "
        "What is reused is free.",
        "rung plan specs/experiments/one-node.yaml --cluster one-node --set 'budget={gpu_hours: 1}'\n",
        "rung plan specs/experiments/one-node.yaml --cluster one-node --set 'budget={gpu_hours: 100}'\n",
        "command",
    ),
    "swept-report": Page(
        "a report uses a param that is swept",
        "A report stands once and gathers every point of a sweep, so it cannot itself depend on one of them.",
        """\
matrix: {params.seed: [1, 2]}
pipeline:
  exam: {kind: evaluate, policy: sft, prompts: held_out, max_new_tokens: 8, seed: 1}
  ‸ladder: {kind: report, title: "seed ${params.seed}", rows: {SFT: exam}}
""",
        """\
matrix: {params.seed: [1, 2]}
pipeline:
  exam: {kind: evaluate, policy: sft, prompts: held_out, max_new_tokens: 8, seed: 1}
  ladder: {kind: report, title: both seeds, rows: {SFT: exam}}
""",
    ),
    "tag": Page(
        "a YAML tag",
        "Tags such as !!str or !python/object name a type beside the value, and some of them run code. Types come from "
        "the keys here; quotes make a text.",
        """\
rung: 1
name: ‸!!str 2024
pipeline: {}
""",
        """\
rung: 1
name: "2024"
pipeline: {}
""",
    ),
    "too-few": Page(
        "a list or mapping is empty",
        "It must have at least one entry.",
        """\
pipeline:
  more_prompts: {kind: prompts, generator: all, count: 10, split: by_prompt, parts: ‸[], seed: 1}
""",
        """\
pipeline:
  more_prompts: {kind: prompts, generator: all, count: 10, split: by_prompt, parts: [sft], seed: 1}
""",
    ),
    "too-large": Page(
        "more than is read or unrolled",
        "Files, aliases, nesting, rounds and sweeps are bounded far above what recipes need, so that a slip of the pen "
        "cannot exhaust the login node. The message says the bound.",
        """\
pipeline:
  ‸outer:
    repeat: 1000
    stages:
      inner:
        repeat: 1000
        stages:
          web_2: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: 1}
""",
        """\
pipeline:
  outer:
    repeat: 2
    stages:
      inner:
        repeat: 2
        stages:
          web_2: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: 1}
""",
    ),
    "too-long": Page(
        "sequences longer than the model's",
        "A stage cannot train on sequences longer than the model's `seq_length`. Give the model a longer one, or the "
        "stage a shorter one.",
        """\
pipeline:
  trained:
    kind: pretrain
    model: small
    tokenizer: tokenizer
    seq_length: ‸128
    phases:
      - name: main
        blend: {tokens: 1}
        batch_ramp: [{global_batch_size: 32, tokens: 80k}]
        learning_rate: {shape: constant, start: 1e-3, end: 1e-3, warmup_steps: 0}
    optimizer: adam
    precision: fp32
    seed: 1
""",
        """\
pipeline:
  trained:
    kind: pretrain
    model: small
    tokenizer: tokenizer
    seq_length: 64
    phases:
      - name: main
        blend: {tokens: 1}
        batch_ramp: [{global_batch_size: 32, tokens: 80k}]
        learning_rate: {shape: constant, start: 1e-3, end: 1e-3, warmup_steps: 0}
    optimizer: adam
    precision: fp32
    seed: 1
""",
    ),
    "unknown-anchor": Page(
        "an alias of an anchor that was not written before it",
        "`*name` repeats the value that `&name` marked earlier in the same file. Anchors do not reach from file "
        "to file.",
        """\
rung: 1
name: tiny
pipeline: ‸*stages
""",
        """\
rung: 1
name: tiny
pipeline: &stages {}
""",
    ),
    "unknown-cluster": Page(
        "no cluster has this name",
        "`--cluster` takes the name of a file in specs/clusters, or the path of a YAML file.",
        "rung plan recipe.yaml --cluster latpop\n",
        "rung plan recipe.yaml --cluster laptop\n",
        "command",
    ),
    "unknown-key": Page(
        "a key that nobody reads",
        "A misspelt key would otherwise be ignored, and the experiment would not be the one that was written. The hint "
        "names the nearest key.",
        """\
pipeline:
  web_2: {kind: annotate, prompts: web_prompts, ‸eror_rate: 0.2, error_rate: 0.1, seed: 1}
""",
        """\
pipeline:
  web_2: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: 1}
""",
    ),
    "unknown-kind": Page(
        "no stage, loss, judge or generator is of this kind",
        "`kind` says which record the other keys belong to.",
        """\
pipeline:
  web_2: {kind: ‸anotate, prompts: web_prompts, error_rate: 0.1, seed: 1}
""",
        """\
pipeline:
  web_2: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: 1}
""",
    ),
    "unknown-name": Page(
        "a piece, part, score or row that does not exist",
        "Named pieces stand in their section, parts in their split, scores in the stage that reads them, rows in the "
        "report.",
        """\
pipeline:
  marks_2: {kind: judge, judge: ‸thruth, responses: answers}
""",
        """\
pipeline:
  marks_2: {kind: judge, judge: truth, responses: answers}
""",
    ),
    "unknown-path": Page(
        "an override of something that was not written",
        "`--set` changes a value at its path: `params.seed`, `pipeline.sft.epochs`, `pipeline.rpo.stages.train.epochs`."
        " A named piece is changed where it stands, not where it is used.",
        "rung check recipe.yaml --set ‸params.sede=2\n",
        "rung check recipe.yaml --set params.seed=2\n",
        "command",
    ),
    "unknown-ref": Page(
        "there is no such stage",
        "A stage names others by their names. From outside a loop, `rpo.policy` is what its last round yields and "
        "`rpo.2.train` a stage of its second round.",
        """\
pipeline:
  marks_2: {kind: judge, judge: truth, responses: ‸answer}
""",
        """\
pipeline:
  marks_2: {kind: judge, judge: truth, responses: answers}
""",
    ),
    "unknown-variable": Page(
        "a variable that nothing gives a value",
        "Params are declared under `params` and written ${params.name}; inside a loop ${round} and what the loop "
        "carries are known too. Nothing is read from the environment.",
        """\
pipeline:
  web_2: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: ‸"${seed}"}
""",
        """\
pipeline:
  web_2: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: "${params.seed}"}
""",
    ),
    "wrong-artifact": Page(
        "a stage is given what it does not take",
        "Each stage makes one kind of artifact, and each field takes some. The hint names the stage to put between.",
        """\
pipeline:
  tokens_2: {kind: tokenize, data: ‸answers, tokenizer: tokenizer}
""",
        """\
pipeline:
  kept: {kind: filter, responses: answers, scores: {truth: marks}, at_least: {truth: 1}, per_prompt: 1}
  tokens_2: {kind: tokenize, data: kept, tokenizer: tokenizer}
""",
    ),
    "wrong-choice": Page(
        "a word that is none of the choices",
        "The message lists them.",
        """\
precisions:
  half: {dtype: ‸half}
pipeline: {}
""",
        """\
precisions:
  half: {dtype: bf16}
pipeline: {}
""",
    ),
    "wrong-model": Page(
        "two models that must have one shape do not",
        "The reference of preference training scores the same tokens as the policy, so it must be of the same shape. "
        "It is usually the policy that training starts from.",
        """\
pipeline:
  preferred:
    kind: prefer
    init: sft
    reference: ‸wide_base
    data: pairs
    loss: {kind: dpo, beta: 0.1, sft_weight: 1.0, sft_average: true}
    epochs: 1
    global_batch_size: 32
    learning_rate: {shape: constant, start: 1e-3, end: 1e-3, warmup_steps: 0}
    optimizer: adam
    precision: fp32
    seed: 1
""",
        """\
pipeline:
  preferred:
    kind: prefer
    init: sft
    reference: sft
    data: pairs
    loss: {kind: dpo, beta: 0.1, sft_weight: 1.0, sft_average: true}
    epochs: 1
    global_batch_size: 32
    learning_rate: {shape: constant, start: 1e-3, end: 1e-3, warmup_steps: 0}
    optimizer: adam
    precision: fp32
    seed: 1
""",
    ),
    "wrong-responses": Page(
        "scores of other responses",
        "Scores say something of the responses that were judged, row by row. Judge these responses, and name that "
        "stage.",
        """\
pipeline:
  kept: {kind: filter, responses: answers, scores: {truth: ‸ratings}, at_least: {truth: 1}, per_prompt: 1}
""",
        """\
pipeline:
  kept: {kind: filter, responses: answers, scores: {truth: marks}, at_least: {truth: 1}, per_prompt: 1}
""",
    ),
    "wrong-tokenizer": Page(
        "data or models of different tokenizers meet",
        "Token 17 of one tokenizer is not token 17 of another: training would run, with a plausible curve and a poor "
        "model. Everything along one lineage speaks one tokenizer.",
        """\
pipeline:
  tokenizer_2: {kind: tokenizer, data: [web], vocab_size: 256, chat_template: compact}
  trained:
    kind: pretrain
    model: small
    tokenizer: tokenizer_2
    seq_length: 64
    phases:
      - name: main
        blend: {‸tokens: 1}
        batch_ramp: [{global_batch_size: 32, tokens: 80k}]
        learning_rate: {shape: constant, start: 1e-3, end: 1e-3, warmup_steps: 0}
    optimizer: adam
    precision: fp32
    seed: 1
""",
        """\
pipeline:
  tokenizer_2: {kind: tokenizer, data: [web], vocab_size: 256, chat_template: compact}
  tokens_2: {kind: tokenize, data: web, tokenizer: tokenizer_2}
  trained:
    kind: pretrain
    model: small
    tokenizer: tokenizer_2
    seq_length: 64
    phases:
      - name: main
        blend: {tokens_2: 1}
        batch_ramp: [{global_batch_size: 32, tokens: 80k}]
        learning_rate: {shape: constant, start: 1e-3, end: 1e-3, warmup_steps: 0}
    optimizer: adam
    precision: fp32
    seed: 1
""",
    ),
    "wrong-type": Page(
        "a value of the wrong type",
        "A number where a list belongs, a mapping where a name belongs, text where a number belongs. YAML 1.2 rules: "
        "`yes` and `no` are text, 1e-4 is a number, quotes make text. Whole numbers may be written 4k, 340B or 8T.",
        """\
pipeline:
  web_2: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: ‸one}
""",
        """\
pipeline:
  web_2: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: 1}
""",
    ),
    "wrong-value": Page(
        "values that do not go together",
        "Each may be right by itself; the message says what contradicts what.",
        """\
pipeline:
  rounds:
    ‸repeat: 2
    over: [{noise: 0.1}, {noise: 0.2}]
    stages:
      web_2: {kind: annotate, prompts: web_prompts, error_rate: 0.1, seed: 1}
""",
        """\
pipeline:
  rounds:
    over: [{noise: 0.1}, {noise: 0.2}]
    stages:
      web_2: {kind: annotate, prompts: web_prompts, error_rate: "${noise}", seed: 1}
""",
    ),
    "wrong-version": Page(
        "another version of the language",
        "`rung: 1` says which language the recipe is written in, so that a later version can tell old recipes from "
        "mistakes.",
        """\
rung: ‸2
name: tiny
use: [world.yaml]
pipeline: {}
""",
        """\
rung: 1
name: tiny
use: [world.yaml]
pipeline: {}
""",
    ),
    "wrong-vocabulary": Page(
        "a tokenizer with more tokens than the model has rows",
        "Tokens beyond the model's `vocab_size` would have no embedding. Raise the model's, or train a smaller "
        "tokenizer.",
        """\
pipeline:
  tokenizer_2: {kind: tokenizer, data: [web], vocab_size: 1024, chat_template: compact}
  tokens_2: {kind: tokenize, data: web, tokenizer: tokenizer_2}
  trained:
    kind: pretrain
    model: small
    tokenizer: ‸tokenizer_2
    seq_length: 64
    phases:
      - name: main
        blend: {tokens_2: 1}
        batch_ramp: [{global_batch_size: 32, tokens: 80k}]
        learning_rate: {shape: constant, start: 1e-3, end: 1e-3, warmup_steps: 0}
    optimizer: adam
    precision: fp32
    seed: 1
""",
        """\
models:
  small_2: {extends: small, vocab_size: 1024}
pipeline:
  tokenizer_2: {kind: tokenizer, data: [web], vocab_size: 1024, chat_template: compact}
  tokens_2: {kind: tokenize, data: web, tokenizer: tokenizer_2}
  trained:
    kind: pretrain
    model: small_2
    tokenizer: tokenizer_2
    seq_length: 64
    phases:
      - name: main
        blend: {tokens_2: 1}
        batch_ramp: [{global_batch_size: 32, tokens: 80k}]
        learning_rate: {shape: constant, start: 1e-3, end: 1e-3, warmup_steps: 0}
    optimizer: adam
    precision: fp32
    seed: 1
""",
    ),
}
