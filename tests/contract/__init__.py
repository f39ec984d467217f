"""What every later version must still give: labels, confidences, scores, reasons, records, tables, figures, files.

Everything here goes through the public API or the command line. What was found when the contract was written lies in
`golden/`, two files a scenario: a `.json` with what is read (labels, reasons, ids, records) and an `.npz` with the
numbers. `python -m tests.contract` says what differs from them now; `python -m tests.contract --write` makes them anew,
for a change of results that is meant.

The rules, as `_golden.py` applies them:

- Probabilities (confidence, margin, elsewhere) are within 1e-4.
- A label is the same in every row, but where the golden margin (best less second probability) is below 2e-4: there
  two answers within 1e-4 of what they were may change places.
- Texts, ids and records are equal. A record may gain keys and a table columns, never lose one. Versions
  and fingerprints are not compared.
- Log-probabilities are within 1e-3: they are cosines of unit vectors, right to 1e-6 in float32, divided by a
  temperature and weighted, which makes that up to 200 times as much, and 1e-4 in what the language model says.
- Losses of training are within 0.02 and 4 % (`_golden.SHARE_OF_LOSS`), and the labels of what was trained are equal.

The language model is read in float32 here. On its own it takes bfloat16 where the processor has it in hardware, and
log-probabilities then differ by tenths: `_data.model` asks for float32 as a user would.
"""
