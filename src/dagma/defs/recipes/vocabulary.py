"""The words that normalisation knows: units, descriptors, spellings. Data only."""

# How a unit is written -> its canonical name. Singulars only: plurals are made singular first.
UNITS = {
    **{name: "g" for name in ("g", "gr", "gram", "gramme")},
    **{name: "kg" for name in ("kg", "kilo", "kilogram")},
    **{name: "mg" for name in ("mg", "milligram")},
    **{name: "ml" for name in ("ml", "milliliter", "millilitre")},
    **{name: "cl" for name in ("cl", "centiliter", "centilitre")},
    **{name: "dl" for name in ("dl", "deciliter", "decilitre")},
    **{name: "l" for name in ("l", "liter", "litre")},
    **{name: "tsp" for name in ("tsp", "teaspoon", "teaspoonful")},
    **{name: "tbsp" for name in ("tbsp", "tbs", "tbl", "tablespoon", "tablespoonful")},
    **{name: "cup" for name in ("cup", "cupful")},
    **{name: "oz" for name in ("oz", "ounce")},
    **{name: "lb" for name in ("lb", "pound")},
    "fl oz": "fl oz",
    "fluid ounce": "fl oz",
    "pt": "pint",
    "pint": "pint",
    "qt": "quart",
    "quart": "quart",
    "gallon": "gallon",
    "cm": "cm",
    "inch": "inch",
    "pkg": "package",
    "pack": "package",
    "packet": "package",
    "package": "package",
    "sachet": "package",
    "tin": "can",
    "can": "can",
    **{
        name: name
        for name in (
            *("bag", "bottle", "box", "bunch", "clove", "container", "cube", "dash", "drop"),
            *("ear", "glass", "handful", "head", "jar", "knob", "leaf", "loaf", "piece"),
            *("pinch", "rib", "sheet", "slice", "splash", "sprig", "stalk", "stick", "strip"),
        )
    },
}

# These say a unit even without an amount before them ("tsp salt", but not "stick cinnamon").
ABBREVIATIONS = frozenset({"g", "kg", "ml", "cl", "dl", "tsp", "tbsp", "tbs", "oz", "lb", "pkg"})

_HERBS = frozenset({"basil", "cilantro", "coriander", "mint", "parsley", "sage", "thyme"})

# A last word that goes after these: "garlic cloves" is garlic; "bay leaf" stays.
PARTS = {
    "clove": frozenset({"garlic"}),
    "head": frozenset({"garlic"}),
    "leaf": _HERBS,
    "rib": frozenset({"celery"}),
    "sprig": _HERBS,
    "stalk": frozenset({"celery"}),
}

# "zest of 1 lemon" is lemon zest.
PARTS_OF = ("zest", "juice", "rind", "peel")

# Phrases as they are written -> as one name; a number in them is no amount.
PHRASES = {
    **{name: "7-up" for name in ("7 up", "7up")},
    "5 spice": "5-spice",
    "7 spice": "7-spice",
    "gluten-free": "gluten free",
}

# Hyphen or space between the words.
DESCRIPTOR_PHRASES = (
    *("all purpose", "at room temperature", "bite size", "bite sized", "bone in", "extra virgin"),
    *("fat free", "free range", "full fat", "hard boiled", "low fat", "low salt"),
    *("low sodium", "non fat", "part skim", "reduced fat", "reduced sodium", "room temperature"),
    *("semi skimmed", "skin on", "store bought", "to serve", "to taste"),
)

DESCRIPTORS = frozenset(
    {
        # cut
        *("chopped", "chunky", "crumbled", "crushed", "cubed", "diced", "grated", "halved"),
        *("julienned", "mashed", "minced", "quartered", "shaved", "shredded", "sliced"),
        *(
            "slivered",
            "smashed",
            "torn",
            "coarsely",
            "finely",
            "freshly",
            "lightly",
            "roughly",
            "thickly",
        ),
        *("thinly", "thick", "thin"),
        # prepared
        *("beaten", "blanched", "boiled", "canned", "chilled", "cleaned", "cooked", "cored"),
        *("cracked", "deveined", "drained", "dried", "dry", "frozen", "ground", "juiced"),
        *("melted", "packed", "peeled", "pitted", "raw", "rinsed", "seeded", "shelled", "sieved"),
        *("sifted", "softened", "squeezed", "strained", "thawed", "tinned", "toasted", "trimmed"),
        *("uncooked", "unpeeled", "washed", "boneless", "skinless"),
        # size and measure
        *("big", "extra", "heaping", "jumbo", "large", "level", "medium", "small", "whole"),
        # quality
        *("cold", "fresh", "good", "lowfat", "nonfat", "optional", "organic", "plain", "quality"),
        *("ripe", "room-temperature", "salted", "unsalted", "untreated", "virgin", "warm"),
    }
)

# What descriptors leave behind at the edges: "rinsed and drained beans".
CONNECTIVES = frozenset({"a", "about", "an", "and", "from", "in", "of", "plus", "the"})

# Before these a descriptor is part of the name: ground beef is no beef, dry milk no milk.
KEPT_BEFORE = {
    "dry": frozenset({"milk", "mustard"}),
    "ground": frozenset({"beef", "chicken", "lamb", "meat", "pork", "turkey", "veal"}),
    "whole": frozenset({"grain", "milk", "wheat"}),
}

# The name ends where these begin.
ENDINGS = (
    " cut into ",
    " cut in ",
    " such as ",
    " e.g. ",
    " for ",
    " with ",
    " about ",
    " - ",
    ";",
)

# Letters that no decomposition reaches, and typographic apostrophes.
LETTERS = str.maketrans(
    {
        "œ": "oe",
        "æ": "ae",
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "\u2018": "'",
        "\u2019": "'",
        "\u2044": "/",
    }
)

SPELLINGS = {
    "&": "and",
    "chile": "chili",
    "chilli": "chili",
    "icecream": "ice cream",
    "soya": "soy",
    "yoghurt": "yogurt",
}

# Food words that the rules for English plurals get wrong, as plural -> singular.
PLURALS = {
    **{
        word: word
        for word in (
            *("ananas", "anis", "beaujolais", "brussels", "calvados", "cassis", "chablis", "cos"),
            *(
                "coulis",
                "gras",
                "graves",
                "haas",
                "haggis",
                "molasses",
                "pastis",
                "ras",
                "sassafras",
            ),
            *("sauternes", "schnapps", "swiss", "tapas"),
        )
    },
    "quiches": "quiche",
    "chilies": "chili",
    "chillies": "chili",
    "chiles": "chili",
    "chilis": "chili",
    "chillis": "chili",
}
