//! The nearest right word to a wrong one.

/// The word nearest to `given`, if any is near enough to be meant.
pub(crate) fn nearest<'a>(
    given: &str,
    words: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let given = given.to_ascii_lowercase();
    words
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&given, &word.to_ascii_lowercase()), word))
        .filter(|(distance, word)| *distance <= 1 + word.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_not() {
        assert_eq!(nearest("embeded", ["embedded", "memory"]), Some("embedded"));
        assert_eq!(nearest("MEMROY", ["embedded", "memory"]), Some("memory"));
        assert_eq!(nearest("postgres", ["embedded", "memory"]), None);
    }
}
