"""Legend files: what is merged, what is left out, and what a mistake is called."""

import json
from pathlib import Path

import numpy as np
import pytest

from gee_pipeline.errors import InputError
from training.samples.class_choice import choose_classes, merge_into, occurring_classes, relabel
from training.samples.class_legend import CROPGLOBE, LEFT_OUT, read_legend
from training.samples.crops import CROPS

VALLEY = """
source = "Land use survey."
label_column = "cdl"
leave_out = [0, "Fallow "]
unlisted = "Other"

[[classes]]
name = "Rice"
color = "#00A8E2"
labels = [3]
[[classes]]
name = "Orchard"
color = "#00a884"
labels = [69, 75, "Walnuts"]
[[classes]]
name = "Other"
color = "#b8b8a0"
"""


def write(tmp_path: Path, text: str, name: str = "legend.toml") -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def index_of(legend, labels):
    names = [*legend.names, None]  # LEFT_OUT is -1: the last
    return [names[i] for i in legend.index_of(np.asarray(labels), "a.npz: key lbl")]


def test_labels_are_merged_into_classes(tmp_path):
    legend = read_legend(write(tmp_path, VALLEY))
    assert legend.names == ("Rice", "Orchard", "Other")
    assert legend.colors == {"Rice": "#00a8e2", "Orchard": "#00a884", "Other": "#b8b8a0"}
    assert (legend.label_column, legend.source) == ("cdl", "Land use survey.")
    assert index_of(legend, [3, 75, 69, 0, 36]) == ["Rice", "Orchard", "Orchard", None, "Other"]


def test_texts_are_compared_without_case_and_with_numbers(tmp_path):
    legend = read_legend(write(tmp_path, VALLEY))
    labels = np.array(["3", " walnuts", "RICE", "75.0", "fallow", "hops"], dtype=object)
    assert index_of(legend, labels) == ["Rice", "Orchard", "Rice", "Orchard", None, "Other"]
    assert index_of(legend, [3.0, 75.0]) == ["Rice", "Orchard"]


def test_composed_and_decomposed_letters_are_the_same(tmp_path):
    text = VALLEY.replace('"Walnuts"', '"마늘"')
    legend = read_legend(write(tmp_path, text))
    decomposed = "".join(map(chr, (0x1106, 0x1161, 0x1102, 0x1173, 0x11AF)))
    assert index_of(legend, [decomposed]) == ["Orchard"]


def test_json_holds_the_same(tmp_path):
    classes = [
        {"name": "Rice", "color": "#00a8e2", "labels": [3]},
        {"name": "Orchard", "color": "#00a884", "labels": [69, 75, "Walnuts"]},
        {"name": "Other", "color": "#b8b8a0"},
    ]
    values = {"source": "Land use survey.", "label_column": "cdl", "leave_out": [0, "Fallow "]}
    text = json.dumps(values | {"unlisted": "Other", "classes": classes})
    assert read_legend(write(tmp_path, text, "legend.JSON")) == read_legend(write(tmp_path, VALLEY))


def test_codes_give_the_order(tmp_path):
    text = VALLEY.replace('name = "Rice"', 'name = "Rice"\ncode = 3')
    text = text.replace('name = "Orchard"', 'name = "Orchard"\ncode = 1')
    legend = read_legend(write(tmp_path, text.replace('name = "Other"', 'name = "Other"\ncode = 2')))
    assert legend.names == ("Orchard", "Other", "Rice")


def test_without_unlisted_an_unknown_label_is_refused_with_its_row(tmp_path):
    legend = read_legend(write(tmp_path, VALLEY.replace('unlisted = "Other"', "")))
    with pytest.raises(InputError, match=r"a\.npz: key lbl .*3 Rice, 69/75/Walnuts Orch.*row 2 has 36 \(1"):
        index_of(legend, [3, 75, 36])
    with pytest.raises(InputError, match=r"row 3 has 36"):
        legend.index_of(np.array([3, 75, 36]), "t.csv: column label", first_row=1)


def test_unlisted_labels_can_be_left_out(tmp_path):
    legend = read_legend(write(tmp_path, VALLEY.replace('"Other"\n\n', '"leave out"\n\n')))
    assert index_of(legend, [3, 36]) == ["Rice", None]


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf])
def test_what_is_no_label_is_refused_even_where_others_are_left_out(tmp_path, bad):
    legend = read_legend(write(tmp_path, VALLEY))
    with pytest.raises(InputError, match="row 1 has"):
        index_of(legend, [3.0, bad])
    with pytest.raises(InputError, match="row 0 has"):
        index_of(legend, np.array(["", "rice"], dtype=object))


RICE = 'name = "Rice"'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (RICE, "", "Class 1 of classes needs the key name"),
        (RICE, "name = 3", "Class 1 of classes needs the key name.*got 3"),
        (RICE, 'name = " "', "needs a name"),
        (RICE, 'name = "Leave out"', "is taken"),
        (RICE, 'name = "orchard"', "orchard"),  # twice
        (RICE, RICE + "\ncode = 1", "key code.*for all of them or for none"),
        (RICE, RICE + "\nhue = 1", "Class 1 of classes holds the unknown key hue; it has name, color"),
        ('"#00A8E2"', '"blue"', "colour of class Rice.*#rrggbb.*'blue'"),
        ("[3]", "[3.5]", "key labels of Rice .*3.5"),
        ("[3]", "[true]", "key labels of Rice .*True"),
        ("[3]", "[75]", "75 is given for Rice and Orchard"),
        ("[3]", '["orchard"]', "'orchard' is given for Rice and Orchard"),
        ("[3]", "[0]", "0 is given in leave_out and for the class Rice"),
        ('unlisted = "Other"', 'unlisted = "rest"', "key unlisted .*'rest'"),
        ('unlisted = "Other"', "unlisted = 1", "key unlisted takes a text"),
        ('source = "Land', 'sauce = "Land', "unknown key sauce"),
        ("[[classes]]", "[[class]]", "unknown key class; it has classes, leave_out"),
        ('source = "Land use survey."', "source = [1]", "key source takes a text"),
        ('source = "Land', "source = Land", "not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path, old, new, message):
    assert old in VALLEY
    with pytest.raises(InputError, match=message) as caught:
        read_legend(write(tmp_path, VALLEY.replace(old, new)))
    assert "legend.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1]", "got list"), ("{", "not valid JSON"), ("{}", "key classes"), ('{"classes": [3, 4]}', "Class 1")],
)
def test_json_mistakes(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_legend(write(tmp_path, text, "legend.json"))


def test_one_class_is_no_legend(tmp_path):
    with pytest.raises(InputError, match="two classes or more, got 1"):
        read_legend(write(tmp_path, '[[classes]]\nname = "rice"\ncolor = "#000000"\n'))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.toml cannot be read.*--legend"):
        read_legend(tmp_path / "nowhere.toml")


def test_the_built_in_legend_is_cropglobe():
    assert CROPGLOBE.names == tuple(crop.name for crop in CROPS)
    assert CROPGLOBE.colors == {crop.name: crop.color for crop in CROPS}
    assert index_of(CROPGLOBE, range(7)) == list(CROPGLOBE.names)
    assert index_of(CROPGLOBE, np.array(["Corn", "other"], dtype=object)) == ["corn", "other"]


def test_crops_without_a_class_become_other_or_are_left_out():
    assert merge_into(CROPGLOBE.names, ("other", "wheat")) == (0, 0, 0, 1, 0, 0, 0)
    assert merge_into(CROPGLOBE.names, ("cotton", "wheat")) == (-1, -1, -1, 1, -1, 0, -1)


def test_chosen_classes_are_written_as_in_the_legend(tmp_path):
    legend = read_legend(write(tmp_path, VALLEY))
    assert choose_classes(legend, [" orchard", "RICE"]) == ("Orchard", "Rice")
    with pytest.raises(InputError, match=r"out of Rice, Orchard, Other; got rice, hops"):
        choose_classes(legend, ["rice", "hops"])


def test_relabelling():
    labels = np.array([0, 3, 3, 6])
    assert occurring_classes(CROPGLOBE, labels) == ("corn", "wheat", "other")
    assert relabel(CROPGLOBE, labels, ("wheat", "corn")).tolist() == [1, 0, 0, LEFT_OUT]
    with pytest.raises(InputError, match=r"none of rice; the files hold 1 corn, 2 wheat, 1 other"):
        relabel(CROPGLOBE, labels, ("rice", "corn"))


def test_a_label_with_a_star_is_all_that_begin_so_and_the_longest_counts(tmp_path):
    text = VALLEY.replace("labels = [3]", 'labels = ["33010107*"]').replace('"Walnuts"', '"3301*", "B1*"')
    text = text.replace('unlisted = "Other"', 'unlisted = "leave out"')
    legend = read_legend(write(tmp_path, text))
    labels = np.array(["3301010799", "3301019000", 3301010700, "b16", "B2", "B1*"], dtype=object)
    assert index_of(legend, labels) == ["Rice", "Orchard", "Rice", "Orchard", None, "Orchard"]


def test_a_standard_list_is_called_by_its_name():
    legend = read_legend(Path("hcat3"))
    assert legend.names == ("corn", "soybeans", "rice", "wheat", "cotton", "other")
    codes = {
        "3301010600": "corn",  # grain maize
        "3301010101": "wheat",
        "3301010401": "other",  # barley
        "3303010000": "other",  # orchards
        "3302000000": None,  # pasture
        "3301010000": None,  # cereals of any kind
        "3301110000": None,  # fallow
        "3306000000": None,  # forest
    }
    assert index_of(legend, list(codes)) == list(codes.values())
    assert "CC BY 4.0" in legend.source


def test_numbers_of_a_standard_list_are_numbers_or_texts():
    legend = read_legend(Path("aci"))
    assert index_of(legend, [147, 146, 133, 122, 132]) == ["corn", "wheat", "other", None, None]
    assert index_of(legend, np.array(["147", "158.0"], dtype=object)) == ["corn", "soybeans"]


def test_an_unknown_list_is_no_file():
    with pytest.raises(InputError, match="or one of the lists cropglobe, cdl, aci, hcat3"):
        read_legend(Path("hcat9"))
