"""The peer's side of driver.py, run by a Python that has distilabel: URL ROWS, all of them answered by one task."""

import sys

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration


def main() -> None:
    url, rows = sys.argv[1], int(sys.argv[2])
    with Pipeline(name="rows") as pipeline:
        load = LoadDataFromDicts(data=[{"instruction": f"question {n}"} for n in range(rows)], batch_size=500)
        llm = OpenAILLM(model="some/model", base_url=url, api_key="none", generation_kwargs={"max_new_tokens": 50})
        load >> TextGeneration(llm=llm, input_batch_size=500)
    made = pipeline.run(use_cache=False)
    print(len(made["default"]["train"]))


if __name__ == "__main__":
    main()
