"""Number words, French to English: an encoder and a decoder, trained together."""
