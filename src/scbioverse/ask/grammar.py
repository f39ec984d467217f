"""The grammar of questions, over linked words: rules that join neighbours, and the forms that a whole question has.

A pattern is written in roles (see :mod:`scbioverse.ask.lexicon`), in the signs of regular expressions; `<x: ...>` names
a part, `{NP}` stands for one below. Every linked word is one letter to the expression, so that a form either takes the
whole question or none of it: nothing that was asked is passed over.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_PARTS = {
    # "B cells in donor1 that express CD3D"
    "NP": "(?:(?:IN |OF |ALL |ANY |AMONG )*(?:WHERE|TRAIT|ROWS|THEM))+",
    # "are in cluster 4 and express CD3D"
    "VP": "(?:AND? DO? (?:BE? PRED|BE (?:IN|OF|ALL|ANY)* {THING} (?:(?:IN|OF)* {THING})*))+",
    "THING": "(?:WHERE|TRAIT|ROWS)",
    "ANYP": "(?:(?:AND |DO |BE |HAVE |IN |OF |ALL |ANY )*(?:PRED|WHERE|TRAIT|ROWS|THEM))+",
    "END": "(?:BE|THERE|SEEN|HAVE|IN|DO|ROWS)*",
    "ASK": "(?:WHICH|WHAT|LIST|BE|IN|OF)*",
    "WHATIS": "(?:(?:WHAT|WHICH|LIST) )?(?:BE )?",
    "HAVES": "(?:HAVE|HAVING|DO|IN)*",
    "COUNTS": "(?:COUNT|OF)*",
    "TOPS": "(?:TOP|SIZETOP)",
    "MUCH": "(?:OFTEN|COUNT|SHARE|OF|IN|ROWS|SEEN)*",
}  # fmt: skip

# Form of a question, and what of the query it settles. Parts: w, v: rows; a: of which; s, t: sides, and `sides` two
# that were listed; by: column; m: what is measured; st: which number; lim: a bound; the first form that fits counts.
FORMS: list[tuple[str, dict[str, Any]]] = [
    # ---- how many
    ("COUNT GENES (BE|DO|HAVE|THERE|SEEN|ROWS|IN|ALL)*", {"want": "genes"}),
    ("COUNT GENES DO <w:{NP}> HAVE <st:STAT>", {"measure": "n_genes_by_counts"}),
    ("{WHATIS} COUNT DIFF? <by:COLUMN> {END}", {"want": "groups"}),
    ("{WHATIS} COUNT (GROUPS|COLUMN) {END} (IN|OF) <by:COLUMN>", {"want": "groups"}),
    ("{WHATIS} COUNT <by:COLUMN> (HAVE|BE|DO)* <w:{NP}> {END}", {"want": "which", "check": (">", 0)}),
    ("{WHATIS} COUNT <by:COLUMN> (HAVE|BE|DO)* <lim:LIMIT> OF? <w:{NP}>", {"want": "which"}),
    ("COUNT <more:(MORE|LESS)> <s:{NP}> (THERE|BE)* THAN <t:{NP}>", {"want": "count", "show": "difference"}),
    ("COUNT <more:(MORE|LESS)> <s:WHERE> THAN <t:WHERE> (THERE|BE|SEEN)* <w:(IN {NP})?>",
     {"want": "count", "show": "difference"}),
    ("COUNT <more:(MORE|LESS)> <w:{NP}> DO <s:{NP}> HAVE THAN <t:{NP}>",
     {"want": "count", "show": "difference", "owner": True}),
    ("COUNT TIMES MORE <s:{NP}> (THERE|BE)* THAN <t:{NP}>", {"want": "count", "show": "ratio"}),
    ("COUNT TIMES MORE <s:WHERE> THAN <t:WHERE> (THERE|BE|SEEN)* <w:(IN {NP})?>", {"want": "count", "show": "ratio"}),
    ("COUNT OF? <w:{NP}>? {END} (BETWEEN|IN) <s:WHERE> (VERSUS|AND|COMMA) (IN )?<t:WHERE>", {"want": "count"}),
    ("IN? {WHATIS} COUNT OF? <w:{NP}>? {END} <v:{ANYP}>? {END}", {"want": "count"}),
    ("(IN|OF|AMONG) <w:{NP}> COMMA? COUNT OF? ROWS? {END} <v:{ANYP}> {END}", {"want": "count"}),
    ("COUNT <m:(HAS|MEASURE)> (DO|BE)* <rows:ROW> HAVE?", {"want": "value"}),
    ("COUNT <m:HAS> BE (THERE )?(IN|OF) <rows:ROW>", {"want": "value"}),
    # ---- which share
    ("{WHATIS} SHARE OF? <w:WHERE ROWS?> (AMONG|IN ALL|OF ALL) <a:{NP}>", {"want": "fraction"}),
    ("{WHATIS} SHARE OF? ALL? ROWS <w:(DO? PRED|BE WHERE ROWS?|TRAIT)> (IN|OF) <a:{NP}>", {"want": "fraction"}),
    ("{WHATIS} SHARE OF? <a:{NP}> <w:DO? PRED> <b:((IN|OF) {NP}|TRAIT)>", {"want": "fraction"}),
    ("{WHATIS} SHARE OF? <a:{NP}> <w:{VP}> {END}", {"want": "fraction"}),
    ("{WHATIS} SHARE OF? ALL? <a:WHERE ROWS?> <w:TRAIT+>", {"want": "fraction"}),
    ("{WHATIS} SHARE OF? ALL? ROWS IN? <w:(WHERE|TRAIT)+>", {"want": "fraction"}),
    ("{WHATIS} SHARE (OF|BE)* ALL? <w:WHERE ROWS?> (IN|OF) (ALL )?ROWS", {"want": "fraction"}),
    ("{WHATIS} SHARE (OF|BE)* ALL? <w:TRAIT* WHERE ROWS?>", {"want": "fraction"}),
    ("{WHATIS} SHARE OF? <w:WHERE ROWS?> (IN|OF) <a:WHERE ROWS?>", {"want": "fraction", "twice": True}),
    ("(IN|OF|AMONG) <a:{NP}> COMMA? {WHATIS} SHARE (OF ALL?)? ROWS? <w:({VP}|{NP})> {END}", {"want": "fraction"}),
    ("{WHATIS} SHARE DO <w:{NP}> (HAVE|BE)+ (IN|OF)+ <a:{NP}>", {"want": "fraction"}),
    ("{WHATIS} SHARE BE <w:{NP}>", {"want": "fraction"}),
    ("{WHATIS} SHARE <w:PRED>", {"want": "fraction", "needs": "by"}),
    ("IN (WHAT|WHICH)? SHARE OF? <a:{NP}> (DO|BE)* <w:PRED>", {"want": "fraction"}),
    ("{WHATIS} SHARE OF? <a:{NP}> BE? COMPOSITION <w:{NP}>", {"want": "fraction"}),
    # ---- which number of a column or property
    ("{WHATIS} <st:STAT>? (COUNT|OF)* <m:MEASURE> SEEN? <w:{NP}>? {END}", {}),
    ("{WHATIS} <w:WHERE> <st:STAT> {COUNTS} <m:MEASURE>", {}),
    ("(IN|OF) <w:{NP}> COMMA? {WHATIS} <st:STAT> (COUNT|OF)* <m:MEASURE>", {}),
    ("{WHATIS} <st:STAT> (COUNT|OF)* <m:HAS> (IN|OF)? <w:{NP}>?", {}),
    ("{WHATIS} <m:(MEASURE AND? COMMA?)+> (OF|IN|DO|BE)* <rows:(ROW|COMMA|AND)+> HAVE?", {"want": "value"}),
    ("<m:MEASURE> BE <rows:ROW>", {"want": "value"}),
    ("WHAT <m:COLUMN> BE <rows:ROW>", {"want": "value"}),
    ("COMPARE <m:MEASURE> (OF|BETWEEN) <rows:(ROW|COMMA|AND)+>", {"want": "value"}),
    ("{WHATIS} SHARE OF <rows:ROW> BE <m:HAS>", {"want": "value", "share": True}),
    ("{WHATIS} <m:COLUMN> (OF|IN)+ <rows:ROW>", {"want": "value"}),
    ("{WHATIS} <by:COLUMN> (OF|IN)+ <w:{NP}>", {"want": "composition"}),
    ("{WHATIS} <ext:TOP> <m:MEASURE> <w:{NP}>?", {}),
    ("HOWMUCH <m:HAS> DO <w:{NP}> HAVE <st:STAT>?", {"want": "mean"}),
    ("HOWMUCH <m:HAS> BE THERE? (SEEN )?<w:IN {NP}> <st:STAT>?", {"want": "mean"}),
    ("BE <st:STAT> (COUNT|OF)* <bound:(HAS|TRAIT)> <w:((IN|OF) {NP})?>", {"show": "check"}),
    ("BE <st:STAT> (COUNT|OF)* <m:MEASURE> <w:(IN|OF) {NP}> BE? <lim:LIMIT>", {"show": "check"}),
    # ---- the most, of groups
    ("{ASK} <by:COLUMN> BE? <st:STAT>? (COUNT|OF)* <m:MEASURE> <top:TOP>", {}),
    ("LIST <by:COLUMN> (BY|HAVING)* <st:STAT>? (COUNT|OF)* <m:(MEASURE|HAS)> <w:(IN {NP})?>", {"want": "mean"}),
    ("LIST <by:COLUMN> (BY|HAVING)* COUNT OF? <w:{NP}>?", {"want": "count"}),
    ("LIST <by:COLUMN> (BY|HAVING)* SHARE (OF|IN)* ROWS? <w:({NP}|{VP}|HAS)>", {"want": "fraction"}),
    ("LIST <by:COLUMN> (BY|HAVING)* SHARE (OF|IN)* <a:WHERE> <w:(PRED|TRAIT)>", {"want": "fraction"}),
    ("{ASK} <by:COLUMN> BE? <topm:TOPM>", {"want": "mean"}),
    ("{ASK} <top:TOP> <n:NUM>? <by:COLUMN> BY COUNT OF? <w:{NP}>", {"want": "count"}),
    ("{ASK} <n:NUM>? OF? <ord:ORD>? <top:{TOPS}> OFTEN? <by:COLUMN> {MUCH} <w:(IN {NP}|TRAIT)?>", {"want": "count"}),
    ("{ASK} <n:NUM>? <by:COLUMN> (BE|HAVE|IN)* <ord:ORD>? <top:{TOPS}> {MUCH} <w:(IN {NP}|TRAIT)?>", {"want": "count"}),
    ("{ASK} <n:NUM>? <by:COLUMN> (BE|HAVE|DO)* <ord:ORD>? <top:TOP> (COUNT OF?)? <w:{NP}> {END}", {"want": "count"}),
    ("{ASK} <n:NUM>? <by:COLUMN> {HAVES} <ord:ORD>? <top:TOP> {COUNTS} <st:STAT>? {COUNTS} <m:(MEASURE|HAS)> <w:{NP}>?",
     {}),
    ("{ASK} <by:COLUMN> DO (MAJ|TOP) OF? <w:{NP}> BE IN?", {"want": "count", "show": "rank"}),
    ("{ASK} <by:COLUMN> BE <w:(WHERE|HAS)> <top:(TOP|MORE|LESS)> OFTEN", {"want": "fraction"}),
    ("{ASK} <ord:ORD>? <top:SIZETOP> <by:COLUMN> <w:(IN|OF) {NP}>", {"want": "count"}),
    ("{ASK} <by:COLUMN> (HAVE|HAVING) <ord:ORD>? <top:TOP> SHARE OF? <a:WHERE> <w:({VP}|TRAIT)>", {"want": "fraction"}),
    ("{ASK} <by:COLUMN> (HAVE|HAVING) <ord:ORD>? <top:TOP> SHARE OF? ROWS? <w:({VP}|{NP}|HAS)>", {"want": "fraction"}),
    ("{ASK} <by:COLUMN> (DO|BE)* <w:PRED> (IN|OF)? <ord:ORD>? <top:TOP>? {MUCH} <a:(IN {NP})?>",
     {"want": "fraction", "show": "rank"}),
    ("{ASK} <by:COLUMN> (DO|BE)* <top:TOP> OFTEN <w:PRED>", {"want": "fraction"}),
    ("(WHICH|WHAT|LIST)+ ROWS (DO|BE)* <w:PRED> (IN|OF)? <top:TOP>? {MUCH}",
     {"want": "fraction", "by": "type", "show": "rank", "cells": True}),
    ("(WHICH|WHAT|LIST)+ ROWS BE (THERE )?(SEEN )?IN <w:{NP}>", {"want": "composition", "cells": True}),
    ("PLACE (BE|DO)* <w:(PRED|HAS)> (TOP|OFTEN|SEEN)*", {"want": "fraction", "by": "type", "show": "rank"}),
    # ---- the most, of rows
    ("{ASK} <w:{NP}>? (BE|HAVE)? TOP? <n:NUM>? <ord:ORD>? <topm:TOPM> <v:{NP}>?", {"want": "list"}),
    ("{ASK} <n:NUM>? <w:{NP}>? (HAVE|HAVING) <ord:ORD>? <top:TOP> (COUNT OF)? <m:(MEASURE|HAS)>", {"want": "list"}),
    ("{ASK} <top:TOP> <n:NUM>? <w:{NP}>? (BY|IN) <m:(MEASURE|HAS)>", {"want": "list"}),
    # ---- which groups
    ("{ASK} <by:COLUMN> BE (ALL |MAJ |ANY )*<w:WHERE> (IN )?", {"want": "which", "check": (">", 0.5)}),
    ("{ASK} <by:COLUMN> (HAVE|BE) <lim:LIMIT> OF? <w:{NP}>", {"want": "which"}),
    ("{ASK} <by:COLUMN> BE? COMPOSITION <w:WHERE>", {"want": "which", "check": (">", 0.5)}),
    ("{ASK} <by:COLUMN> BE? ABSENT <w:{NP}>", {"want": "which", "check": ("=", 0)}),
    ("{ASK} <by:COLUMN> BE NOT (SEEN|THERE)* <w:IN {NP}>", {"want": "which", "check": ("=", 0)}),
    ("{ASK} <by:COLUMN> DO NOT (HAVE|BE) (IN )?<w:{NP}>", {"want": "which", "check": ("=", 0)}),
    ("{ASK} <by:COLUMN> BE <w:WHERE> ABSENT", {"want": "which", "check": ("=", 0)}),
    ("{ASK} <by:COLUMN> (HAVE|HAVING) NO <w:{NP}>", {"want": "which", "check": ("=", 0)}),
    ("{ASK} <by:COLUMN> (HAVE|BE) ONLY <w:{NP}>", {"want": "fraction", "show": "groups", "check": (">=", 1.0)}),
    ("{ASK} <by:COLUMN> {HAVES} <st:STAT> {COUNTS} <bound:(HAS|TRAIT)> <w:((IN|OF) {NP})?>", {"show": "groups"}),
    ("{ASK} <by:COLUMN> DO? <w:PRED> IN <lim:(LIMIT|MAJ|ALL)> OF? (THEM|ROWS)*",
     {"want": "fraction", "show": "groups"}),
    ("{ASK} <by:COLUMN> (DO|BE) <lim:(LIMIT|MAJ|ALL|TOP)> OF? <a:{NP}> <w:({VP}|WHERE|TRAIT)>",
     {"want": "fraction", "show": "groups"}),
    ("{ASK} <by:COLUMN> (LACKING|LACK|DO NOT HAVE) ANY? <w:{NP}>", {"want": "which", "check": ("=", 0)}),
    ("BE THERE ANY? <by:COLUMN> (LACKING|LACK) ANY? <w:{NP}>", {"want": "which", "check": ("=", 0), "show": "check"}),
    ("BE THERE ANY? <by:COLUMN> (HAVING|HAVE) ANY? <w:{NP}>", {"want": "which", "check": (">", 0), "show": "check"}),
    ("{ASK} <by:COLUMN> (HAVE|HAVING) ANY? <w:{NP}>", {"want": "which", "check": (">", 0)}),
    ("{ASK} <by:COLUMN> (BE|DO|THERE|SEEN|HAVE)* IN <w:{NP}>", {"want": "composition"}),
    ("{ASK} <by:COLUMN> (BE|DO)* <w:{NP}> (HAVE|BE IN|BE)", {"want": "composition"}),
    ("(LIST |BE THERE ANY )?({ASK})<flag:(LOWQ|DOUBLET)> <by:COLUMN> {END}", {"want": "flag"}),
    ("{ASK} <by:COLUMN> BE <flag:(LOWQ|DOUBLET)>", {"want": "flag"}),
    ("{ASK} <by:COLUMN> {END}", {"want": "groups"}),
    ("{WHATIS} COMPOSITION (OF|IN)* <by:COLUMN>? (BE|OF|IN)* <w:{NP}>?", {"want": "composition"}),
    ("(WHAT|WHICH) DO? <w:{NP}> COMPOSITION", {"want": "composition"}),
    ("(WHAT|WHICH) BE IN <w:WHERE>", {"want": "composition"}),
    ("{WHATIS} <by:COLUMN> COMPOSITION (OF|IN)* <w:{NP}>?", {"want": "composition"}),
    ("HOW <w:{NP}> COMPOSITION (BETWEEN|AMONG|IN)* <by:COLUMN>", {"want": "composition"}),
    ("HOW <w:{NP}> COMPOSITION", {"want": "composition", "needs": "by"}),
    ("{ASK} <by:COLUMN> MAJ <w:{NP}>", {"want": "count", "show": "rank"}),
    ("WHAT BE <w:ROWS>", {"want": "composition", "cells": True}),
    # ---- yes or no
    ("(BE|DO) THERE (ANY|ALL)? <w:{NP}> <v:{ANYP}>? {END}", {"want": "count", "check": (">", 0)}),
    ("BE THERE NO <w:{NP}> <v:{ANYP}>? {END}", {"want": "count", "check": ("=", 0)}),
    ("(BE|DO) ANY OF? <w:{NP}> <v:{ANYP}> {END}", {"want": "count", "check": (">", 0)}),
    ("DO (ROWS )?HAVE ANY? <w:{NP}>", {"want": "count", "check": (">", 0)}),
    ("BE <w:WHERE> (SEEN|THERE)", {"want": "count", "check": (">", 0)}),
    ("(BE|DO) <gone:NOGENE> (SEEN|THERE)+", {"want": "genes", "show": "check"}),
    ("BE <s:{NP}> <more:(MORE|LESS)> OFTEN? THAN <t:{NP}>", {"want": "count"}),
    ("BE <w:WHERE> <more:(MORE|LESS)> OFTEN <s:IN {NP}> THAN <t:{NP}>", {"want": "fraction"}),
    ("DO <s:{NP}> HAVE <more:(MORE|LESS)> <w:{NP}> THAN <t:{NP}>", {"want": "count", "owner": True}),
    ("DO <s:{NP}> HAVE <more:(MORE|LESS)> SHARE OF? <w:({NP}|HAS)> THAN <t:{NP}>", {"want": "fraction"}),
    ("DO <s:{NP}> HAVE <more:(MORE|LESS)> <m:HAS> THAN <t:{NP}>", {"want": "mean"}),
    ("DO <s:{NP}> HAVE <lim:LIMIT> OF? <w:{NP}>", {"want": "count", "place": True}),
    ("(BE|DO) NO <w:{NP}> <v:{VP}>", {"want": "count", "check": ("=", 0)}),
    ("(BE|DO) <a:WHERE> (DO|BE)* <w:PRED>", {"want": "fraction", "show": "check"}),
    ("(BE|DO) <w:PRED> {END}", {"want": "count", "check": (">", 0)}),
    ("BE THERE <more:(MORE|LESS)> <s:{NP}> THAN <t:{NP}>", {"want": "count"}),
    ("BE SHARE OF <w:{NP}> <more:(MORE|LESS)> IN <s:{NP}> THAN IN? <t:{NP}>", {"want": "fraction"}),
    ("BE <w:(PRED|HAS|WHERE)> <more:(MORE|LESS)> OFTEN SEEN? <s:IN {NP}> THAN <t:{NP}>", {"want": "fraction"}),
    ("BE <w:PRED> IN <more:(MORE|LESS)> <s:{NP}> THAN <t:{NP}>", {"want": "count"}),
    ("DO <s:{NP}> <w:PRED> <more:(MORE|LESS)> OFTEN THAN <t:{NP}>", {"want": "fraction"}),
    ("BE <m:(HAS|PRED|MEASURE)> <st:STAT>? <more:(MORE|LESS)> SEEN? IN <s:{NP}> THAN IN? <t:{NP}>", {"want": "mean"}),
    ("BE <st:STAT> (COUNT|OF)* <m:MEASURE> (OF <a:{NP}>)? <more:(MORE|LESS)> IN <s:{NP}> THAN IN? <t:{NP}>", {}),
    ("BE <st:STAT> (COUNT|OF)* <m:MEASURE> (OF|IN) <s:{NP}> <more:(MORE|LESS)> THAN (IN|OF)? <t:{NP}>", {}),
    ("DO <s:{NP}> HAVE <more:(MORE|LESS)> <st:STAT>? <m:MEASURE> THAN <t:{NP}>", {"want": "mean"}),
    ("BE <w:PRED> IN <lim:LIMIT> OF? <a:{NP}>", {"want": "fraction"}),
    ("BE <w:PRED> <v:(IN|OF) {NP}>", {"want": "count", "check": (">", 0)}),
    ("BE <lim:(ALL|MAJ|TOP)> OF? <a:WHERE> IN <w:WHERE>", {"want": "fraction"}),
    ("(DO|BE) <lim:(LIMIT|ALL|MAJ|TOP)> OF? <a:{NP}> <w:({VP}|WHERE|TRAIT)>", {"want": "fraction"}),
    ("(BE|DO) <a:WHERE> BE? (ALL |MAJ )*<w:WHERE>", {"want": "fraction", "check": (">", 0.5)}),
    ("(DO|BE) <rows:ROW> (BE|HAVE|DO)* ANY? <w:((PRED|HAS|TRAIT|WHERE)+)>", {"want": "list", "show": "check"}),
    ("(BE|DO) <rows:ROW> (HAVE )?<mm:MOREM> THAN <rows2:ROW>", {"want": "value", "show": "check"}),
    ("(BE|DO) <rows:ROW> HAVE <more:(MORE|LESS)> <m:(MEASURE|HAS)> THAN <rows2:ROW>",
     {"want": "value", "show": "check"}),
    ("WHICH (ROWS )?BE <mm:MOREM> COMMA? <rows:ROW> OR <rows2:ROW>", {"want": "value", "show": "rank"}),
    # ---- two or more compared
    ("{WHATIS} RATIO (OF|IN|BETWEEN)* <s:{NP}> (TO|AND|VERSUS) <t:{NP}>", {"want": "count", "show": "ratio"}),
    ("{WHATIS} RATIO (OF|IN|BETWEEN)* <sides:WHERE> <w:IN {NP}>?", {"want": "count", "show": "ratio"}),
    ("{WHATIS} <sides:WHERE> RATIO <w:IN {NP}>?", {"want": "count", "show": "ratio"}),
    ("{WHATIS} <s:WHERE> (TO|VERSUS) <t:WHERE> RATIO <w:IN {NP}>?", {"want": "count", "show": "ratio"}),
    ("{WHATIS} (RATIO|FOLD) (IN|OF)* <st:STAT>? <m:(MEASURE|HAS)> (IN|BETWEEN|OF) <s:{NP}> (TO|AND|VERSUS) <t:{NP}>",
     {"want": "mean", "show": "ratio"}),
    ("{WHATIS} (RATIO|FOLD) (IN|OF)* <st:STAT>? <m:(MEASURE|HAS)> (IN|BETWEEN|OF) <sides:WHERE>",
     {"want": "mean", "show": "ratio"}),
    ("{WHATIS} DIFF BETWEEN COUNT OF? <sides:WHERE>", {"want": "count", "show": "difference"}),
    ("{WHATIS} DIFF (IN|OF)* (<st:STAT>|COUNT OF?) <m:MEASURE> BETWEEN <sides:WHERE>", {"show": "difference"}),
    ("{WHATIS} DIFF (IN|OF)* <st:STAT> <m:MEASURE> BETWEEN <sides:WHERE>", {"show": "difference"}),
    ("COUNT <more:(MORE|LESS)> <w:{NP}> {END} IN <s:WHERE> THAN IN? <t:WHERE>",
     {"want": "count", "show": "difference", "owner": True}),
    ("{WHATIS} DIFF (IN|OF)* COUNT OF? <w:{NP}> BETWEEN <sides:WHERE>", {"want": "count", "show": "difference"}),
    ("DO COUNT OF? <w:{NP}> IN <s:WHERE> (COMPARE TO|COMPARE HAVING|VERSUS|DIFF IN) <t:WHERE>", {"want": "count"}),
    ("COMPARE SHARE OF? <w:({NP}|HAS)> (BETWEEN|IN|OF)+ <sides:WHERE>", {"want": "fraction"}),
    ("COMPARE COUNT OF? <w:{NP}>? (BETWEEN|IN|OF)+ <sides:WHERE>", {"want": "count"}),
    ("COMPARE COUNT OF? <sides:WHERE>", {"want": "count"}),
    ("COMPARE <st:STAT>? (COUNT|OF)* <m:MEASURE> (BETWEEN|IN|OF)+ <sides:WHERE>", {}),
    ("COMPARE <w:(HAS|PRED)> (BETWEEN|IN|OF)+ <sides:WHERE>", {"want": "fraction"}),
    ("COMPARE <w:WHERE> (BETWEEN|IN|OF)+ <sides:WHERE> <v:(IN {NP})?>", {"want": "count", "single": True}),
    ("COMPARE <w:WHERE> IN <s:WHERE> (VERSUS|TO|HAVING|AND) <t:IN? WHERE>", {"want": "count", "single": True}),
    ("COMPARE <st:STAT>? (COUNT|OF)* <m:MEASURE> (IN|OF) <w:WHERE> (BETWEEN|IN|OF)+ <sides:WHERE>", {"single": True}),
    ("HOWMUCH DO <m:(HAS|MEASURE)> DIFF (BETWEEN|IN)+ <sides:WHERE>", {"want": "mean", "show": "difference"}),
    ("COMPARE <rows:(ROW|COMMA|AND|OR|VERSUS|TO|HAVING)+>", {"want": "describe", "show": "difference"}),
    # ---- genes
    ("{WHATIS} DIFF BETWEEN <sides:WHERE>", {"want": "differential"}),
    ("(COMPARE|DO) <sides:WHERE> DIFF?", {"want": "differential"}),
    ("COMPARE <s:{NP}> (VERSUS|TO|AND|HAVING) <t:{NP}>", {"want": "differential"}),
    ("<s:WHERE> VERSUS <t:WHERE>", {"want": "differential"}),
    ("{ASK} MARKERS (OF|IN) <s:WHERE> VERSUS <t:WHERE>", {"want": "differential"}),
    ("{ASK} (GENES|MARKERS)? THAT? (DO|BE)* MARK <s:WHERE> (IN|VERSUS|AND) <t:WHERE>", {"want": "differential"}),
    ("{ASK} (GENES|MARKERS)? THAT? (DO|BE)* MARK <sides:WHERE>", {"want": "differential", "pair": True}),
    ("{ASK} GENES (DO|BE)* DIFF (BETWEEN|IN)+ <sides:WHERE>", {"want": "differential"}),
    ("{ASK} GENES (DO|BE)* MORE SEEN? IN <s:{NP}> THAN IN? <t:{NP}>", {"want": "differential"}),
    ("{ASK} (TOP )?<n:NUM>? (TOP )?(MARKERS|GENES) (BE|DO|MARK|MARKERS|OF|IN|HAVE)* <w:{NP}>?", {"want": "markers"}),
    ("WHAT MARK <w:{NP}>", {"want": "markers"}),
    ("(BE|DO) <m:HAS> (MARKERS|GENES|MARK|OF|IN)+ <w:{NP}>", {"want": "is marker"}),
    ("WHY BE <a:WHERE> (BE|CALLED|MARK)* <s:WHERE> (AND|COMMA)? <t:WHERE>?", {"want": "why"}),
    ("WHY BE <a:WHERE> <s:WHERE> (AND|COMMA)? NOT <t:WHERE>", {"want": "why"}),
    ("(WHAT (DO|BE) <m:HAS> DO?|DESCRIBE <m2:HAS>)", {"want": "gene"}),
    ("(WHAT BE|DESCRIBE) <term:(WHERE|TOOFINE|NOTYPES)>", {"want": "define"}),
    # ---- rows by name, and lists of them
    ("(WHAT|DESCRIBE) (BE|DO|HAVE)* <rows:(ROW|COMMA|AND)+> (DO|BE|HAVE)?", {"want": "describe"}),
    ("(WHAT BE|DESCRIBE) (THEM|ROWS)", {"want": "describe"}),
    ("{ASK} ROWS? BE? LIKE <rows:ROW>", {"want": "nearest"}),
    ("(WHICH|WHAT|LIST|ALL)+ <w:{NP}>? {END} <v:{ANYP}>? {END}", {"want": "list"}),
]  # fmt: skip

_ROLE = re.compile(r"[A-Z][A-Z]+")
_LETTERS: dict[str, str] = {}


def letter(role: str) -> str:
    """Return the letter that stands for a role."""
    # Private characters: none of them means anything to a regular expression.
    return _LETTERS.setdefault(role, chr(0xE000 + len(_LETTERS)))


def letters(roles: Any) -> str:
    """Return the letters of some roles."""
    return "".join(letter(role) for role in roles)


@cache
def pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern of roles."""
    while "{" in text:
        text = re.sub(r"\{([A-Z]+)\}", lambda found: f"(?:{_PARTS[found[1]]})", text)
    text = _ROLE.sub(lambda found: letter(found[0]), text).replace(" ", "")
    return re.compile(re.sub(r"<([a-z0-9]+):([^<>]*)>", r"(?P<\1>\2)", text))
