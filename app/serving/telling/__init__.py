"""Short texts about answers: what is known (`facts`), a true text of it (`template`), and another.

The other text is written by a language model (`prompt`, `writing`) and checked sentence by sentence
(`check`, with `reading` and `evidence`) before anybody sees it. `teller` puts them together; the
words of the languages are in `languages/`.
"""
