import pytest

from runtime import lists


@pytest.mark.parametrize(
    "answer",
    [
        "1. Bread\n2. Salt\n3. Wine",
        "1) Bread\n\n2) Salt\n\n3) Wine\n",
        'Here are three things:\n1. **Bread**\n2. "Salt"\n3. Wine',
        "1. Bread\n2. Salt\n3. Wine\n\nI hope that this helps!",
    ],
)
def test_a_numbered_list_is_read_with_a_line_before_and_one_after(answer: str) -> None:
    assert lists.numbered(answer) == ("Bread", "Salt", "Wine")


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Bread, salt and wine.",
        "1. Bread\n3. Wine",
        "2. Bread\n3. Wine",
        "1. Bread\nwhich is white\n2. Salt",
        "One\nTwo\n1. Bread",
        "1. Bread\nThat is\nall of it",
        "1. \n2. Salt",
        "* Bread\n* Salt",
    ],
)
def test_anything_else_is_not_taken_for_one(answer: str) -> None:
    assert lists.numbered(answer) is None


def test_a_list_of_strings_is_read_quoted_or_not() -> None:
    assert lists.bulleted('- "Say \\"hi\\" \\\\ now"\n- Salt') == ('Say "hi" \\ now', "Salt")
    assert lists.bulleted('```yaml\n- "a"\n- "b"\n```') == ("a", "b")
    assert lists.bulleted("- a\nand b") is None
    assert lists.bulleted("&a [*a, *a]") is None
    assert lists.bulleted("") is None


def test_an_item_stands_in_the_answer_or_does_not() -> None:
    answer = "Bread is good;\nso is   salt."
    assert lists.stands_in("Bread is good; so is salt.", answer)
    assert not lists.stands_in("bread is good", answer)
