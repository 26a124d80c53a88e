"""What the name of a column hints at."""

import re

FILLERS = set("is has was did flag label valid effective long user".split())
LABELS = set(
    "label target outcome y click clicked conversion converted purchase purchased buy "
    "bought order ordered pay paid booked cancel canceled cancelled like liked follow "
    "followed comment commented share shared forward forwarded favorite favourite "
    "favorited cart install installed subscribe subscribed churn churned default "
    "fraud survived response responded accepted hate view viewed finish finished skip "
    "skipped install reply replied rated helpful".split()
)
RATINGS = set("rating ratings stars helpfulness".split())
OUTCOMES = set("revenue gmv profit dwell watch stay play payout spent".split())
MONEY = set(
    "revenue gmv profit payout spent spend sales price amount cost value income".split()
)
DURATIONS = set("dwell watch stay play duration seconds minutes elapsed time".split())
USERS = set(
    "user users userid uid customer member visitor client account buyer player viewer "
    "reader reviewer".split()
)
IDS = set("id ids key hash code no uuid guid".split())
KEYS = set(
    "id ids key uuid guid index row rowid request session record unnamed".split()
)
CODES = set(
    "id ids code type category class zip zipcode postcode hash agent company brand "
    "item product sku shop store city region country site page device model "
    "genre topic tag group segment movie video news article creative campaign ad "
    "advertiser publisher".split()
)
NO_IDS = set("paid bid unpaid prepaid valid invalid void grid humid rapid".split())
TIMES = set(
    "time times timestamp ts date datetime day created updated at when epoch dt "
    "hour".split()
)
MOMENTS = set("time timestamp ts datetime created event".split())  # of the row itself
AFTERWARDS = set(  # what is set, or set anew, when the outcome is known
    "status updated modified changed closed ended finished resolved delivered returned "
    "cancelled canceled cancellation refunded checkout completed".split()
)
DOMAINS = set("domain scenario tab tenant marketplace surface".split())
PERHAPS_DOMAINS = set(
    "shop store site market platform channel country region language device hotel "
    "city category segment business vertical source".split()
)
WEIGHTED = set("sample instance example importance case row".split())
HISTORIES = set("history hist sequence seq recent last past session behavior".split())
SPLITS = set("split fold set subset partition".split())


def words(name: str) -> list[str]:
    """The words of a name in lower case.

    Example:
        >>> words("isClicked_2ndTime")
        ['is', 'clicked', '2nd', 'time']
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W_]+", apart.lower())


def is_label(name: str) -> bool:
    """Whether a name is that of a label, such as `is_click`, and of nothing else."""
    each = set(words(name))
    return bool(each & (LABELS | {"label"})) and each <= LABELS | FILLERS


def is_flag(name: str) -> bool:
    """Whether a name is that of a truth value: `is_...`."""
    return words(name)[:1] == ["is"]


def is_user(name: str) -> bool:
    """Whether a name is that of a person: `user`, `customer_id`."""
    each = set(words(name))
    return bool(each & USERS) and each <= USERS | IDS


def is_key(name: str) -> bool:
    """Whether a name is that of a number for each row, or is empty."""
    each = words(name)
    return not each or bool(set(each) & KEYS)


def is_code(name: str) -> bool:
    """Whether whole numbers of this name are names rather than amounts."""
    each = words(name)
    if re.fullmatch(r"(?i)(c|cat)_?\d+|\d+(_\d+)?", name):
        return True
    last = each[-1] if each else ""
    return last in CODES | USERS or (last.endswith("id") and last not in NO_IDS)


def is_weight(name: str) -> bool:
    """Whether a name is that of example weights: `sample_weight`."""
    each = set(words(name))
    return bool(each & {"weight", "weights"}) and bool(each & WEIGHTED)


def hints(name: str, of: set[str]) -> bool:
    """Whether one of the words of a name is among these."""
    return bool(set(words(name)) & of)
