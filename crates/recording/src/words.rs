//! Values of other rooms, as the file writes them.

/// An architecture by its short name.
pub(crate) mod arch {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use tipstaff_abi::Arch;

    pub(crate) fn serialize<S: Serializer>(arch: &Arch, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(arch.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arch, D::Error> {
        let name = String::deserialize(from)?;
        // Only the name that is written: the file has one form.
        Arch::ALL
            .into_iter()
            .find(|arch| arch.name() == name)
            .ok_or_else(|| D::Error::custom(format!("no architecture {name:?}; known are {}", known())))
    }

    fn known() -> String {
        Arch::ALL.map(Arch::name).join(", ")
    }
}

/// For what may be null: serde takes an absent key for null otherwise, and here no key is ever omitted.
pub(crate) fn present<'de, T: serde::Deserialize<'de>, D: serde::Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    T::deserialize(from)
}
