"""Our own C, one file a kernel: its port, the numpy that says what it means, and the binding.

C trusts its callers. What it reads comes from a bundle or from a request; this is who has bounded
it. (`app.core.bounds` says how; a bundle whose checksums are right may still be inconsistent.)

    what C reads                          for                     refused by, when opened
    types, shapes, heads, layers          encode_batch            kernels.encoder
    vectors: type, shape                  pack_vectors            app.bundle.reader
    vectors: finite                       pack_vectors            engine.open
    neighbours, taste, signals of items   features_batch          catalogue.behaviour
    postings: offsets, rows               match_rows              retrieval.vocabulary
    trigrams: offsets, words, counts      similar_words           kernels.matching
    titles: offsets, words                lexical_features_…      retrieval.vocabulary
    signals                               topk_batch, gather_…    engine.open
    rows of postings, neighbours, codes   topk_sums_batch,        retrieval.vocabulary and .codes,
                                          gather_batch            catalogue.behaviour
    rows in the lists of FAISS            union_batch,            retrieval.index
                                          positions_batch

    what C reads of a request             for                     refused by, with each call
    tokens, lengths of texts              encode_batch            kernels.encoder
    rows of histories and candidates      features_batch          C itself
    rows of candidates                    lexical_features_…      C itself: they have zeros

Rows of C's buffers are as many as the catalogue has items, so `engine.open` demands that all parts
of a bundle have so many. Everything else that reads a bundle natively is not ours: FAISS, which
compares sizes within its file (`retrieval.index` compares the parts), ONNX Runtime, the tokenizer.
A process that serves already opens a new bundle in another process first (`app.trial`).
"""
