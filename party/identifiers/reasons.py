"""Why a cell is not a usable identifier: stable names, and a sentence for people in two languages."""

from __future__ import annotations

from typing import Final

# name, English, Chinese; the position is the code, so new reasons go to the end.
_ROWS: Final[tuple[tuple[str, str, str], ...]] = (
    ("", "accepted", "可用"),
    ("empty", "the cell is empty", "单元格为空"),
    (
        "bad_characters",
        "holds characters that this kind of identifier cannot have",
        "含有该类标识不允许的字符",
    ),
    ("bad_length", "is too short or too long", "长度不对"),
    ("bad_checksum", "the check digit is wrong, so a digit was mistyped", "校验位不符，可能有录入错误"),
    ("not_a_mobile", "is not a mobile number (or not a personal line)", "不是手机号码"),
    ("unknown_region", "begins with a country or area code that does not exist", "国家或地区代码不存在"),
    (
        "placeholder",
        "is a filler such as all zeros, not somebody's identifier",
        "是占位值（如全零），不是真实标识",
    ),
    (
        "scientific_notation",
        "was turned into a floating-point number by a spreadsheet, so digits are lost",
        "被电子表格转成浮点数或科学计数法，位数已丢失",
    ),
    (
        "looks_hashed",
        "looks like a hash, but the job matches raw identifiers",
        "看似已哈希，但本任务使用原始标识",
    ),
    ("wrong_hash", "looks like a hash of another algorithm than the job's", "看似使用了其他哈希算法"),
    ("bad_date", "holds a birth date that does not exist", "出生日期不存在"),
    ("bad_syntax", "is not written like an address of this kind", "格式不符合要求"),
    ("unassigned", "no numbering plan has such a number", "号码不在任何编号计划内"),
    # Of the row rather than of the identifier (party/tiers.py).
    ("no_tier", "the row has no tier", "该行没有层级"),
    ("unknown_tier", "the row's tier is not one of the declared ones", "该行的层级不在声明之列"),
    # Of the row in a grouped sum (party/values.py, party/groups.py).
    ("no_time", "the row has no time, so it belongs to no day", "该行没有时间，无法归入日期"),
    ("bad_time", "the time is not written in a way that can be read", "时间格式无法识别"),
    ("bad_value", "an amount is not a decimal number", "金额不是十进制数"),
    ("bad_flag", "a stage is neither 0 nor 1 (nor false, true, no, yes)", "阶段标记既不是 0 也不是 1"),
    ("bad_label", "a group or tag is too long or cannot be shown safely", "分组或标签过长或无法安全显示"),
    ("value_out_of_range", "an amount lies outside its declared bounds", "金额超出声明的范围"),
)

REASONS: Final[tuple[str, ...]] = tuple(row[0] for row in _ROWS)
REASON_TEXT: Final[dict[str, dict[str, str]]] = {row[0]: {"en": row[1], "zh": row[2]} for row in _ROWS}
CODE: Final[dict[str, int]] = {name: code for code, name in enumerate(REASONS)}
