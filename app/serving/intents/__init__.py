"""What a language model teaches the service about queries, beside the path of requests.

The path of a request looks into one dictionary (`words`). Everything else happens in the
background: which words are asked (`asker`), what is asked (`question`), what of an answer fits the
catalogue (`checking`, with `facts`), and that all replicas know it (`learner`, over `IntentStore`).
"""
