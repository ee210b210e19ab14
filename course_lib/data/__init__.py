"""What the models eat: texts, worlds and pictures, all made or found offline.

- `course_lib.data.storyland`: a small written world whose every probability is known exactly.
- `course_lib.data.python_reference`: the language reference that comes inside every CPython.
- `course_lib.data.digits`: handwritten digits, the pictures that come inside scikit-learn.
- `course_lib.data.number_words`: whole numbers as English and German words, any number of them.
- `course_lib.data.facts`: a language of single facts, whose entropy is known exactly.
- `course_lib.data.word_tasks`: small tasks on words, to be learned from a few examples.
- `course_lib.data.shop_messages`: messages to a small shop, for the project.
"""
