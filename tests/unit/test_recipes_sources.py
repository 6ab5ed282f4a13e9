import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagma.defs.recipes import gnome, tables
from dagma.defs.recipes.corpus import read_corpus
from dagma.defs.recipes.errors import EmptyCorpus, MalformedCorpus, SourceError
from dagma.defs.recipes.recipe import Line, Recipe, Skipped

# A value's leading blanks are not part of it, so a leading tab is written as an escape.
KEY_FILE = """[Metadata]
Version=1

# a comment
[R_Bread]
Name=Bread
Cuisine=German
Ingredients=500\tg\tFlour\tDough\\n1 ½\ttsp\tSalt\tDough\\n

[R_Water]
Cuisine=
Ingredients=\\t\tWater\tIngredients
"""


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# GNOME Recipes


def test_a_key_file_gives_a_recipe_per_group(write):
    corpus = read_corpus(write("recipes.db", KEY_FILE))
    assert [recipe.id for recipe in corpus.recipes] == ["R_Bread", "R_Water"]
    assert [recipe.line for recipe in corpus.recipes] == [5, 10]


def test_a_key_file_keeps_amount_unit_and_name_apart(write):
    bread, water = read_corpus(write("recipes.db", KEY_FILE)).recipes
    assert bread.lines == [Line("500 g", "Flour"), Line("1 ½ tsp", "Salt")]
    assert water.lines == [Line("", "Water")]


def test_a_directory_stands_for_its_key_file(write):
    path = write("recipes.db", KEY_FILE)
    assert read_corpus(path.parent).path == path


def test_an_escaped_leading_tab_is_an_empty_amount(write):
    path = write("recipes.db", "[a]\nIngredients=\\t800 g\tTomato\tSalad\n")
    assert read_corpus(path).recipes[0].lines == [Line("800 g", "Tomato")]


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        ("Name=x", "it has no Ingredients"),
        ("Ingredients=\\n", "its Ingredients are empty"),
        ("Ingredients=1\tcup", "ingredient 1 has 2 tab-separated fields instead of 4"),
        ("Ingredients=1\tcup\t\t", "ingredient 1 has no name"),
        ("Ingredients=1\tcup\ta\\q\t", "Ingredients holds the unknown escape \\q"),
    ],
)
def test_a_bad_group_is_skipped_with_its_line(write, group, reason):
    corpus = read_corpus(write("recipes.db", f"{KEY_FILE}[bad]\n{group}\n"))
    assert len(corpus.recipes) == 2
    assert corpus.skipped == [Skipped(13, reason)]


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        ("[a]\nnonsense\n", 2, "expected [group], key=value"),
        ("Name=x\n", 1, "before the first [group]"),
        ("[a]\n\n[b\n", 3, "a group must be written as [name]"),
    ],
)
def test_a_malformed_key_file_names_file_and_line(write, content, line, why):
    path = write("recipes.db", content)
    with pytest.raises(MalformedCorpus) as caught:
        read_corpus(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert why in str(caught.value)


# JSON


def test_json_gives_a_recipe_per_object(write):
    content = '[\n {"id": 7, "cuisine": "greek", "ingredients": ["salt ", "2 eggs"]},\n {"id": "b",\n  "ingredients": ["oil"]}\n]\n'
    assert read_corpus(write("c.json", content)).recipes == [
        Recipe(2, "7", "greek", [Line("", "salt"), Line("", "2 eggs")]),
        Recipe(3, "b", "", [Line("", "oil")]),
    ]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("3", "it is not an object"),
        ('{"ingredients": ["a"]}', "its id is neither text nor a whole number"),
        ('{"id": true, "ingredients": ["a"]}', "its id is neither text nor a whole number"),
        ('{"id": " ", "ingredients": ["a"]}', "its id is empty"),
        ('{"id": 1, "ingredients": "a"}', "its ingredients are not a list"),
        ('{"id": 1, "ingredients": ["a", 2]}', "an ingredient is not text"),
        ('{"id": 1, "ingredients": [" "]}', "it has no ingredients"),
        ('{"id": 1, "ingredients": ["a"], "cuisine": 4}', "its cuisine is not text"),
        ('{"id": "good", "ingredients": ["a"]}', "id good was already used on line 1"),
    ],
)
def test_a_bad_object_is_skipped_with_its_line(write, item, reason):
    path = write("c.json", f'[{{"id": "good", "ingredients": ["x"]}},\n{item}]')
    corpus = read_corpus(path)
    assert [recipe.id for recipe in corpus.recipes] == ["good"]
    assert corpus.skipped == [Skipped(2, reason)]


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        ("", 1, "which starts with ["),
        ('\n{"id": 1}', 2, "which starts with ["),
        ("[\n{]", 2, "this is not JSON"),
        ('[{"id": 1}\n{"id": 2}]', 2, "expected , or ]"),
        ('[{"id": 1},\n]', 2, "this is not JSON"),
        ('[{"id": 1}\n', 2, "expected , or ]"),
        ("[]\n\nmore", 3, "after the end of the list"),
        ("[\n" + "[" * 200_000, 2, "nested too deeply"),
        ("[\n" + "9" * 5_000 + "]", 2, "too long a number"),
    ],
)
def test_malformed_json_names_file_and_line(write, content, line, why):
    path = write("c.json", content)
    with pytest.raises(MalformedCorpus) as caught:
        read_corpus(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert why in str(caught.value)


def test_what_a_database_refuses_does_not_leave_the_reader(write):
    path = write("c.json", r'[{"id": "a\u0000b", "ingredients": ["x\ud800y"]}]')
    recipe = read_corpus(path).recipes[0]
    assert (recipe.id, recipe.lines) == ("a b", [Line("", "x y")])


# CSV


def test_csv_columns_are_found_by_name(write):
    content = "Cuisine,ID,note,Ingredients\r\ngreek,1,n,salt; 2 eggs\r\n\r\n,2,,oil\r\n"
    assert read_corpus(write("c.csv", content)).recipes == [
        Recipe(2, "1", "greek", [Line("", "salt"), Line("", "2 eggs")]),
        Recipe(4, "2", "", [Line("", "oil")]),
    ]


def test_csv_lines_are_counted_through_quoted_line_breaks(write):
    path = write("c.csv", 'id,ingredients\n1,"a;\nb"\n2\n')
    assert read_corpus(path).skipped == [Skipped(4, "it has 1 columns and the header 2")]


def test_csv_may_begin_with_a_byte_order_mark(write):
    assert read_corpus(write("c.csv", b"\xef\xbb\xbfid,ingredients\n1,a\n")).recipes


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        ("", 1, "no column id"),
        ("id,cuisine\n1,greek\n", 1, "no column ingredients"),
        ('id,ingredients\n1,a\n2,"b\n', 3, "this is not CSV"),
        ('id,ingredients\n1,"a"b\n', 2, "this is not CSV"),
    ],
)
def test_malformed_csv_names_file_and_line(write, content, line, why):
    path = write("c.csv", content)
    with pytest.raises(MalformedCorpus) as caught:
        read_corpus(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert why in str(caught.value)


# Any form


@pytest.mark.parametrize("name", ["recipes.db", "c.json", "c.csv"])
def test_text_that_is_not_utf8_names_file_and_line(write, name):
    path = write(name, b"one\ntwo \xff\n")
    with pytest.raises(MalformedCorpus, match=r", line 2: this is not UTF-8 text"):
        read_corpus(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("recipes.db", "[Metadata]\nVersion=1\n"), ("c.json", " [ ] "), ("c.csv", "id,ingredients\n")],
)
def test_an_empty_corpus_is_an_error(write, name, content):
    with pytest.raises(EmptyCorpus, match="holds no recipe"):
        read_corpus(write(name, content))


def test_a_corpus_of_bad_rows_only_says_why_the_first_is_bad(write):
    path = write("c.json", "[1, 2]")
    with pytest.raises(EmptyCorpus, match="all 2 were skipped, the first on line 1 because it is"):
        read_corpus(path)


def test_a_path_that_does_not_exist_says_what_to_set(tmp_path):
    with pytest.raises(SourceError, match="does not exist; set RECIPES_SOURCE"):
        read_corpus(tmp_path / "nothing.json")


def test_a_directory_without_a_key_file_says_what_to_set(tmp_path):
    with pytest.raises(SourceError, match=r"holds no recipes\.db; set RECIPES_SOURCE"):
        read_corpus(tmp_path)


def test_an_unknown_form_names_the_known_ones(write):
    with pytest.raises(SourceError, match=r"must end in \.db, \.json, \.csv"):
        read_corpus(write("recipes.xml", ""))


# Whatever the file holds, the reader gives recipes, reasons, or MalformedCorpus.

# A loaded machine is no failure, and the source tree may be read-only.
anywhere = settings(deadline=None, database=None)

syntax = st.text(alphabet="[]{}\",:;=\\\t\n\r'#stn09aé½\0 ", max_size=80)
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "ingredients", "cuisine", "x"]), inner)
    ),
)


@pytest.mark.parametrize("read", [gnome.read, tables.read_json, tables.read_csv])
@anywhere
@given(
    text=syntax | st.text() | syntax.map("id,ingredients\n".__add__) | syntax.map("[a]\n".__add__)
)
def test_no_text_raises_anything_else(read, text):
    try:
        items = list(read(Path("file"), text))
    except MalformedCorpus as error:
        assert 1 <= error.line <= text.count("\n") + text.count("\r") + 1
    else:
        assert all(item.lines for item in items if isinstance(item, Recipe))


@anywhere
@given(value=st.lists(json_like, max_size=4), indent=st.none() | st.integers(0, 2))
def test_every_item_of_a_json_list_is_read_or_skipped(value, indent):
    items = list(tables.read_json(Path("file"), json.dumps(value, indent=indent)))
    assert len(items) == len(value)


@anywhere
@given(text=st.text(alphabet=" \tan\n\\s", max_size=20))
def test_gnome_escapes_are_undone(text):
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    assert gnome.unescape("Key", escaped) == text
