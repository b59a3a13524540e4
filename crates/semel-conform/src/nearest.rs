//! The nearest right word to a wrong one.

/// The word nearest to `given`, if any is near enough to be meant.
pub(crate) fn nearest<'a>(
    given: &str,
    words: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let measured = words.into_iter().map(|word| (strsim::damerau_levenshtein(given, word), word));
    let near = measured.filter(|(distance, word)| *distance <= 1 + word.len() / 4);
    near.min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}
