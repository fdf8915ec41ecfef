import subprocess
import sys

import pytest

from facegan.config import DataConfig, parse_where, resolve
from facegan.errors import ConfigError


def holds(text, value):
    (condition,) = parse_where(text)
    return condition.holds(value)


def test_conditions_are_read_with_spaces_or_without():
    conditions = parse_where(" Smiling = 1,Male!=yes , hair colour>=3,age<40,x<=1,y>2")
    assert [(each.attribute, each.operator, each.value) for each in conditions] == [
        ("Smiling", "=", "1"),
        ("Male", "!=", "yes"),
        ("hair colour", ">=", "3"),
        ("age", "<", "40"),
        ("x", "<=", "1"),
        ("y", ">", "2"),
    ]
    assert parse_where("") == parse_where("  ") == ()


@pytest.mark.parametrize(
    ("text", "value", "held"),
    [
        *[(f"Male={word}", True, True) for word in ("1", "true", "Yes", "TRUE")],
        *[(f"Male={word}", False, True) for word in ("0", "false", "no")],
        ("Male=1", False, False),
        ("Male!=1", False, True),
        ("age=30", 30, True),
        ("age=30.0", 30, True),
        ("age<30", 30, False),
        ("age<=30", 30, True),
        ("age>30", 30.5, True),
        ("age>=31", 30.5, False),
        ("age!=30", 31, True),
        ("age=yes", 1, True),  # a column of zeros and ones
        ("mouth=smile", "smile", True),
        ("mouth=smile", "Smile", False),
        ("mouth!=smile", "open", True),
        ("mouth=1", "1", True),  # text is compared as text
        ("mouth<b", "a", True),
        ("Male!=1", None, False),  # of what is not known, nothing holds
        ("age<30", None, False),
    ],
)
def test_the_type_of_the_attribute_decides_how_the_value_is_read(text, value, held):
    assert holds(text, value) is held


@pytest.mark.parametrize(
    ("text", "value", "message"),
    [
        ("Male=maybe", True, "'Male' is true or false, not 'maybe'; give 1 or 0"),
        ("Male=2", True, "'Male' is true or false, not '2'; give 1 or 0"),
        ("age=old", 30, "'age' is a number, not 'old'; give a number"),
        ("age<nan", 30.0, "'age' is a number, not 'nan'; give a number"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(text, value, message):
    with pytest.raises(ValueError) as caught:
        holds(text, value)
    assert str(caught.value) == message


@pytest.mark.parametrize("part", ["Smiling", "=1", "Smiling=", "a==1", "a=<1", "a=1=2", "", "a<>b"])
def test_a_part_that_is_not_a_condition_is_refused_in_one_line(part):
    with pytest.raises(ConfigError) as caught:
        resolve(settings=[f"data.where=Male=1,{part}"])
    text = f"Male=1,{part}"
    assert str(caught.value) == (
        f"config: data.where is {text!r}; it must be conditions such as Smiling=1,Male=0: names and values joined by "
        f"=, !=, <, <=, > or >=, with a comma for 'and' ({part!r} is none)"
    )


def test_set_takes_conditions_as_they_are_written():
    assert resolve(settings=["data.where=Smiling=1,Male=0"]).data.where == "Smiling=1,Male=0"
    assert resolve(settings=["data.where=Smiling=1"]).data.where == "Smiling=1"
    assert resolve(settings=['data.where="age>30"']).data.where == "age>30"
    assert DataConfig().where == ""


def test_conditions_are_checked_without_torch_or_numpy():
    code = (
        "import sys; from facegan.config import resolve\n"
        "try: resolve(settings=['data.where=Smiling'])\n"
        "except Exception as error: print(type(error).__name__, {'torch', 'numpy', 'pyarrow'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "ConfigError set()\n"
