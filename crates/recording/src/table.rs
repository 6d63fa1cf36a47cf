//! Rows that are known by a key: an array in the file, a map in memory.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One row of a [`Table`].
pub trait Row {
    /// What it is known by. Rows stand in the file in the order of their keys.
    type Key: Ord + Clone + fmt::Debug;

    /// Its key.
    fn key(&self) -> Self::Key;
}

/// Rows with different keys, in the order of these.
#[derive(Clone, PartialEq, Eq)]
pub struct Table<T: Row>(BTreeMap<T::Key, T>);

impl<T: Row> Table<T> {
    /// The row with this key, made if there is none. `make` must make a row of that key.
    pub fn entry(&mut self, key: T::Key, make: impl FnOnce() -> T) -> &mut T {
        self.0.entry(key).or_insert_with(make)
    }

    /// Adds a row; answers what had its key before.
    pub fn insert(&mut self, row: T) -> Option<T> {
        self.0.insert(row.key(), row)
    }

    /// A row.
    pub fn get(&self, key: &T::Key) -> Option<&T> {
        self.0.get(key)
    }

    /// A row, to change what is not its key.
    pub fn get_mut(&mut self, key: &T::Key) -> Option<&mut T> {
        self.0.get_mut(key)
    }

    /// All rows.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> + Clone {
        self.0.values()
    }

    /// All rows, to change what is not their keys.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.values_mut()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Row> Default for Table<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Row + fmt::Debug> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Row> FromIterator<T> for Table<T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        Self(rows.into_iter().map(|row| (row.key(), row)).collect())
    }
}

impl<T: Row + Serialize> Serialize for Table<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.values())
    }
}

impl<'de, T: Row + Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Rows<T>(std::marker::PhantomData<T>);
        impl<'de, T: Row + Deserialize<'de>> Visitor<'de> for Rows<T> {
            type Value = Table<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Table<T>, A::Error> {
                let mut table = Table::default();
                while let Some(row) = rows.next_element::<T>()? {
                    let key = row.key();
                    if table.insert(row).is_some() {
                        return Err(A::Error::custom(format!("two entries for {key:?}")));
                    }
                }
                Ok(table)
            }
        }
        from.deserialize_seq(Rows(std::marker::PhantomData))
    }
}
