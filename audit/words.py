"""What people read of a log: one sentence per type of entry, in English and Chinese, and words for what it names.

The table of sentences is held to the event table by a test: a type or a fact without words is an error there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from audit.events import EVENTS

LANGUAGES: Final = ("en", "zh")
LANGUAGE_NAMES: Final = {"en": "English", "zh": "中文"}
# Digests are shown by their beginning; the whole is in the entry.
_SHOWN_HEX: Final = 12
_DAY: Final = 86_400
_DAYS_OF_400_YEARS: Final = 146_097
_DAYS_TO_1970: Final = 719_468  # from 1 March 0000

# Words that stand for themselves in the log.
WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "bank": ("bank", "银行"),
    "platform": ("platform", "平台"),
    "both": ("both", "双方"),
    "none": ("nobody", "无人"),
    "allow": ("allowed", "允许"),
    "refuse": ("refused", "拒绝"),
    "points": ("masked identifiers", "掩码标识"),
    "tokens": ("tokens", "令牌"),
    "sums": ("encrypted group sums", "加密的分组合计"),
    "openings": ("masks of passing groups", "达标分组的掩码"),
    "table": ("the table of figures", "数值表"),
    "result": ("the result", "结果"),
    "overlap": ("overlap", "人数重合"),
    "audience": ("audience", "受众名单"),
    "profile": ("profile", "受众画像"),
    "measure": ("measurement", "转化衡量"),
    "lift": ("lift", "增量评估"),
    "funnel": ("funnel", "转化漏斗"),
    "whole_log": ("the whole log", "完整日志"),
    "evidence_pack": ("an evidence pack", "证据包"),
    "whole_log_with_details": ("the whole log with opened details", "完整日志（已打开承诺）"),
    "evidence_pack_with_details": ("an evidence pack with opened details", "证据包（已打开承诺）"),
    "approver": ("approver", "批准人"),
    "analyst": ("analyst", "分析员"),
    "auditor": ("auditor", "审计员"),
    "administrator": ("administrator", "管理员"),
    "analyst_approver": ("analyst and approver", "分析员、批准人"),
    "analyst_auditor": ("analyst and auditor", "分析员、审计员"),
    "approver_auditor": ("approver and auditor", "批准人、审计员"),
    "analyst_approver_auditor": ("analyst, approver and auditor", "分析员、批准人、审计员"),
    "administrator_auditor": ("administrator and auditor", "管理员、审计员"),
    "overview": ("the overview", "总览"),
    "report_html": ("the report", "报告"),
    "groups_csv": ("the groups", "分组表"),
    "arms_csv": ("the arms", "组别表"),
    "result_json": ("the figures", "全部数字"),
    "matches_csv": ("the list", "名单"),
    "matches_parquet": ("the list (Parquet)", "名单（Parquet）"),
    "holdout_csv": ("the holdout", "留出名单"),
    "holdout_parquet": ("the holdout (Parquet)", "留出名单（Parquet）"),
    "rejects_csv": ("the rejected rows", "剔除的行"),
    "partner": ("partner", "合作方"),
    "standing_rule": ("standing rule", "常设规则"),
    "schedule": ("schedule", "定期任务"),
    "closed": ("stays closed", "保持关闭"),
    "open": ("is shown all the same", "照常显示"),
}

# What travels between the parties, by its name in `shared`.
STREAMS: Final[Mapping[str, tuple[str, str]]] = {
    "receiver_points": ("the receiver's identifiers, masked", "接收方的标识（已加掩码）"),
    "sender_points": ("the sender's identifiers, masked", "发送方的标识（已加掩码）"),
    "receiver_tokens": ("tokens of the receiver's identifiers", "接收方标识的令牌"),
    "sender_tokens": ("tokens of the sender's identifiers", "发送方标识的令牌"),
    "value_points": ("the value holder's identifiers, masked", "数值方的标识（已加掩码）"),
    "value_sums": ("the value holder's values, encrypted", "数值方的数值（已加密）"),
    "group_points": ("the group holder's identifiers, masked", "分组方的标识（已加掩码）"),
    "group_tokens": ("tokens of the group holder's identifiers, shuffled", "分组方标识的令牌（已打乱）"),
    "receiver_announce": ("the receiver's announcement", "接收方的声明"),
    "sender_announce": ("the sender's announcement", "发送方的声明"),
    "value_announce": ("the value holder's announcement", "数值方的声明"),
    "group_announce": ("the group holder's announcement", "分组方的声明"),
    "nonce_of_value_holder": ("the value holder's random number for noise", "数值方用于噪声的随机数"),
    "nonce_of_group_holder": ("the group holder's random number for noise", "分组方用于噪声的随机数"),
    "token_commitment": ("the commitment to tokens", "对令牌的承诺"),
    "cell_sums": ("sums of the groups, encrypted and masked", "分组合计（已加密并加掩码）"),
    "verdict": ("which groups pass", "哪些分组达标"),
    "openings": ("masks of the passing groups", "达标分组的掩码"),
    "table": ("the table of figures", "数值表"),
    "finish_of_receiver": ("the receiver's closing message", "接收方的结束消息"),
    "finish_of_sender": ("the sender's closing message", "发送方的结束消息"),
    "finish_of_value_holder": ("the value holder's closing message", "数值方的结束消息"),
    "finish_of_group_holder": ("the group holder's closing message", "分组方的结束消息"),
}

# One sentence per type. In braces: facts, shown by their kind; of a stream the keys of `shared`.
SENTENCES: Final[Mapping[str, tuple[str, str]]] = {
    "log_opened": (
        (
            "The log begins, with software {software}; identity {identity}, log key {log_key}, "
            "witness key {witness_key}, certificate {proof}"
        ),
        (
            "日志开始记录，软件版本 {software}；身份 {identity}，日志密钥 {log_key}，见证密钥 {witness_key}，"
            "证明 {proof}"
        ),
    ),
    "policy_set": (
        (
            "Policy {digest} holds from here: min_group {min_group}, min_converters {min_converters}, "
            "dominance {dominance}, max_set {max_set}; budget of {budget_runs} runs and epsilon {budget_epsilon} per "
            "{budget_hours} hours; results kept {result_days} days; "
            "a result whose checkpoint nobody cosigned {unwitnessed}"
        ),
        (
            "策略 {digest} 生效：min_group {min_group}，min_converters {min_converters}，dominance {dominance}，"
            "max_set {max_set}；每 {budget_hours} 小时预算 {budget_runs} 次运行、epsilon {budget_epsilon}；"
            "结果保留 {result_days} 天；检查点未获对方签署的结果：{unwitnessed}"
        ),
    ),
    "setting_set": (
        "Settings {digest} hold from here, with software {software}",
        "设置 {digest} 生效，软件版本 {software}",
    ),
    "key_created": ("Key {key} was made, for {purpose}", "生成密钥 {key}，用途 {purpose}"),
    "key_destroyed": ("Key {key} was destroyed, for {purpose}", "销毁密钥 {key}，用途 {purpose}"),
    "backed_up": ("The node was backed up, its log at {size} entries", "节点已备份，日志共 {size} 条"),
    "restored": (
        "The node was restored from a backup whose log had {size} entries",
        "节点已从备份恢复，备份中日志共 {size} 条",
    ),
    "exported": ("Exported for an auditor: {what}, {entries} entries", "向审计方导出：{what}，{entries} 条"),
    "dataset_added": (
        "Dataset {dataset} was registered, identifiers {form}, columns {schema}",
        "登记数据集 {dataset}，标识形式 {form}，列指纹 {schema}",
    ),
    "dataset_changed": (
        "Dataset {dataset} was registered anew, identifiers {form}, columns {schema}",
        "重新登记数据集 {dataset}，标识形式 {form}，列指纹 {schema}",
    ),
    "dataset_removed": ("Dataset {dataset} was removed", "移除数据集 {dataset}"),
    "dataset_used": (
        "Dataset {dataset} was read for the job, columns {schema}; commitment to its content {input}",
        "任务读取数据集 {dataset}，列指纹 {schema}；内容承诺 {input}",
    ),
    "partner_invited": ("{partner} was invited", "邀请 {partner}"),
    "partner_asked": ("{partner} asked to be let in", "{partner} 请求接入"),
    "partner_confirmed": ("{partner} was let in", "确认 {partner} 接入"),
    "partner_refused": ("{partner} was not let in", "拒绝 {partner} 接入"),
    "partner_revoked": ("Access of {partner} was taken away", "取消 {partner} 的访问权限"),
    "certificate_issued": (
        "Certificate {serial} was issued, good until {until}; SHA-256 {digest}",
        "签发证书 {serial}，有效期至 {until}；SHA-256 {digest}",
    ),
    "certificate_renewed": (
        "Certificate {serial} took the place of the one before, good until {until}; SHA-256 {digest}",
        "证书续期为 {serial}，有效期至 {until}；SHA-256 {digest}",
    ),
    "access_refused": ("A caller was turned away", "拒绝一次连接"),
    "attempt_refused": ("Refused: {step}", "拒绝操作：{step}"),
    "login": ("Logged in", "登录"),
    "login_refused": ("A login was refused", "登录被拒绝"),
    "logout": ("Logged out", "退出登录"),
    "person_added": ("{person} was added, as {roles}", "添加人员 {person}，角色：{roles}"),
    "person_changed": ("{person} is {roles} from here", "{person} 的角色改为：{roles}"),
    "person_disabled": ("{person} cannot log in any more", "停用 {person} 的账号"),
    "person_enabled": ("{person} can log in again", "启用 {person} 的账号"),
    "password_changed": ("The password of {person} was changed", "更改 {person} 的密码"),
    "token_created": (
        "Token {token} was made, which acts as {person} until {until}: {scopes}",
        "生成访问令牌 {token}，以 {person} 的身份使用，有效期至 {until}：{scopes}",
    ),
    "token_revoked": ("Token {token} of {person} was revoked", "吊销 {person} 的访问令牌 {token}"),
    "rehearsal": (
        "This is a rehearsal on local files: one machine plays both parties",
        "此为本地文件演练：一台机器扮演双方",
    ),
    "job_draft": (
        "Drafted: {kind} with {partner} over dataset {dataset}; contract {digest}",
        "起草：与 {partner} 进行{kind}，数据集 {dataset}；合同 {digest}",
    ),
    "job_edit": (
        "Edited: {kind} with {partner} over dataset {dataset}; contract {digest}",
        "修改：与 {partner} 进行{kind}，数据集 {dataset}；合同 {digest}",
    ),
    "job_approve": ("Approved contract {digest}, as {as}", "以{as}身份批准合同 {digest}"),
    "job_void": ("Earlier approvals of {digest} are void", "此前对 {digest} 的批准失效"),
    "job_propose": (
        "The bank signed contract {digest} and proposed it; signature {signature}",
        "银行签署并提议合同 {digest}；签名 {signature}",
    ),
    "job_accept": (
        "The platform signed contract {digest}; signature {signature}",
        "平台签署合同 {digest}；签名 {signature}",
    ),
    "job_refuse": ("Refused contract {digest}", "拒绝合同 {digest}"),
    "job_start": ("The run began, attempt {attempt}", "开始运行，第 {attempt} 次"),
    "job_retry": ("The run was cut and begins again", "运行中断，将重新开始"),
    "job_fail": ("The job failed", "任务失败"),
    "job_cancel": ("The job was cancelled", "任务已取消"),
    "job_expire": ("The job expired", "任务已过期"),
    "job_finish": ("The job is done", "任务完成"),
    "schedule_step": ("Schedule {schedule}: {step}, {digest}", "定期任务 {schedule}：{step}，{digest}"),
    "preflight": (
        "Trial on made-up identifiers, of contract {digest}",
        "使用虚构标识的试运行，合同 {digest}",
    ),
    "stream": (
        "{from} to {to}: {name}; {many}{bytes} bytes; session {session}, SHA-256 {sha256}",
        "{from}至{to}：{name}；{many}{bytes} 字节；会话 {session}，SHA-256 {sha256}",
    ),
    "decision": (
        "Release of {release}: {outcome}; min_group {min_group}; session {session}",
        "释放{release}：{outcome}；min_group {min_group}；会话 {session}",
    ),
    "budget_spent": (
        (
            "Budget of {dataset} with {partner}: run {runs} of {limit} in {hours} hours; epsilon {epsilon_spent} of "
            "{epsilon_limit} spent"
        ),
        (
            "数据集 {dataset} 对 {partner} 的预算：{hours} 小时内第 {runs} 次，共 {limit} 次；"
            "epsilon 已用 {epsilon_spent}，上限 {epsilon_limit}"
        ),
    ),
    "seed_kept": (
        "The job's seed was kept, sealed to auditor {auditor}",
        "保留任务种子，以审计方 {auditor} 的公钥密封",
    ),
    "result_released": (
        "The result was released at this side, to: {to}; session {session}",
        "本方结果已释放，可读方：{to}；会话 {session}",
    ),
    "result_read": ("The result was read: {part}", "读取结果：{part}"),
    "result_purged": ("The result was deleted", "结果已删除"),
    "result_closed": ("The result stays closed", "结果保持关闭"),
    "cosign_refused": (
        "{partner} did not cosign the checkpoint of {size} entries",
        "{partner} 未签署 {size} 条的检查点",
    ),
    "cosign_resumed": (
        "{partner} cosigns again, the checkpoint of {size} entries",
        "{partner} 恢复签署，检查点 {size} 条",
    ),
    "log_learned": (
        "{partner} named a log that this party cosigns from now on: {log}",
        "{partner} 提供了其日志，本方自此联署：{log}",
    ),
    "fork_seen": (
        "{partner} showed a log that contradicts what it showed before, at {size} entries; evidence {evidence}",
        "{partner} 出示的日志与此前矛盾，位于 {size} 条；证据 {evidence}",
    ),
}

# What is added where a fact that may be null is not.
_MORE: Final[Mapping[str, tuple[str, str]]] = {
    "code": ("reason: {}", "原因：{}"),
    "epsilon": ("epsilon {}", "epsilon {}"),
    "min_converters": ("min_converters {}", "min_converters {}"),
    "dominance": ("dominance {}", "dominance {}"),
    "basis": ("consent basis: {}", "同意依据：{}"),
    "identity": ("identity {}", "身份 {}"),
    "partner": ("partner {}", "合作方 {}"),
    "card": ("disclosure card {}", "披露卡 {}"),
    "own": ("own data: {}", "本方数据：{}"),
    "peer": ("partner's data: {}", "对方数据：{}"),
}
# Codes say by themselves why; types whose code may not be null have it behind the sentence all the same.
_BEHIND: Final = frozenset(("code",))
_MANY: Final = ("{} of them, ", "{} 项，共 ")
_JOIN: Final = ("; ", "；")
_END: Final = (".", "。")
_ACTORS: Final[Mapping[str, tuple[str, str]]] = {
    "node": ("node {}", "节点 {}"),
    "partner": ("partner {}", "合作方 {}"),
    "rule": ("standing rule {}", "常设规则 {}"),
}


def sentence(entry: Mapping[str, Any], language: str) -> str:
    """Return what ``entry`` (parsed, :mod:`audit.entry`) says, as a sentence in ``language`` (en or zh)."""
    column = LANGUAGES.index(language)
    event = EVENTS[entry["type"]]
    facts = entry["shared"] if event.shared else entry["facts"]
    kinds = _SHARED_KINDS if event.shared else event.facts
    shown = {key: show(facts[key], kinds[key].rstrip("?"), language) for key in kinds}
    if event.shared:
        shown["many"] = "" if facts["count"] == 1 else _MANY[column].format(shown["count"])
    parts = [SENTENCES[entry["type"]][column].format(**shown)]
    parts += [
        _MORE[key][column].format(shown[key])
        for key, kind in kinds.items()
        if (kind.endswith("?") or key in _BEHIND) and facts[key] is not None
    ]
    said = _JOIN[column].join(parts)
    return said if said.endswith("…") else said + _END[column]


def actor(name: str, language: str) -> str:
    """Return who acted, as people read it: a person's bare name, or what kind of machine or rule it was."""
    kind, colon, rest = name.partition(":")
    template = _ACTORS.get(kind) if colon else None
    return name if template is None else template[LANGUAGES.index(language)].format(rest)


def word(text: str, language: str) -> str:
    """Return a word of the log in ``language``; one without a translation stands as it is, for it is a code."""
    return WORDS[text][LANGUAGES.index(language)] if text in WORDS else text


def stream(name: str, language: str) -> str:
    """Return what the stream or message ``name`` carries."""
    return STREAMS[name][LANGUAGES.index(language)]


def show(value: Any, kind: str, language: str) -> str:
    """Return a fact of ``kind`` (:data:`audit.events.KINDS`, or ``stream``) as people read it."""
    if value is None:
        return "—"
    match kind:
        case "count":
            return f"{value:,}"
        case "moment":
            return moment(value)
        case "fraction":
            return str(value).removesuffix("/1")
        case "stream":
            return stream(value, language)
        case "word" | "release" | "outcome" | "readers":
            return word(value, language)
        case "hex32" | "hex64" | "hex128":
            return f"{value[:_SHOWN_HEX]}…"
        case "key":
            # C2SP: name, key id and base64, which may hold a plus itself.
            return f"{str(value).split('+', 2)[-1][:_SHOWN_HEX]}…"
    return str(value)


def moment(milliseconds: int) -> str:
    """Return a moment in milliseconds since 1970 UTC as date and time to the second, UTC."""
    days, seconds = divmod(milliseconds // 1000, _DAY)
    year, month, day = _date(days)
    return f"{year:04}-{month:02}-{day:02} {seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02} UTC"


def _date(days: int) -> tuple[int, int, int]:
    """Return year, month and day of the Gregorian calendar, ``days`` (0 or more) after 1970-01-01.

    Years are counted from 1 March 0000 here, so that the leap day is the last of its year and 400 years are one
    cycle. By hand: this package imports no clock, and a count of the log can lie beyond what a date can.
    """
    era, of_era = divmod(days + _DAYS_TO_1970, _DAYS_OF_400_YEARS)
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    turned = month >= 10
    return era * 400 + year + turned, month + (-9 if turned else 3), day


_SHARED_KINDS: Final[Mapping[str, str]] = {
    "session": "hex32",
    "name": "stream",
    "from": "readers",
    "to": "readers",
    "count": "count",
    "bytes": "count",
    "sha256": "hex64",
}
