//! The guest programs of the benches, loaded.

use std::path::PathBuf;

use backstop::{Config, Engine, EngineChoice, Linker, Loaded, Map, Program, Store, TypedProgram, Update, guest_struct};

/// The object with a program for each single figure, relative to the project's root.
pub const FIGURES: &str = "benches/guest/figures.bpf.o";
/// The packet filter of the examples, relative to the project's root.
pub const FIREWALL: &str = "examples/firewall/firewall.bpf.o";

/// Any error of the runtime's: benches only print it.
pub type GuestError = Box<dyn std::error::Error>;

guest_struct! {
    /// The context of the programs in [`FIGURES`]: `struct Call` there.
    pub struct Call {
        /// What the program is told; programs that throw throw it unless it is 0.
        pub argument: u64,
        /// Room for an answer.
        pub mut result: u64,
    }
}

/// Where a file of the project lies.
pub fn file(relative: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(relative)
}

/// Programs of [`FIGURES`] on one engine.
pub struct Guest {
    engine: Engine,
    linker: Linker<()>,
    object: backstop::Object,
}

impl Guest {
    /// Opens the object.
    ///
    /// # Errors
    /// The runtime's, if the engine is not to be had or the object is damaged.
    pub fn open(choice: EngineChoice) -> Result<Guest, GuestError> {
        let engine = Engine::new(Config::new().engine(choice))?;
        let mut linker = Linker::new(&engine);
        linker.context::<Call>()?;
        let object = engine.open_file(file(FIGURES))?;
        Ok(Guest { engine, linker, object })
    }

    /// Verifies and compiles programs (those that their maps name come along).
    ///
    /// # Errors
    /// The runtime's, if a program is refused.
    pub fn load(&self, names: &[&str]) -> Result<Loaded<()>, GuestError> {
        Ok(self.object.load_programs(&self.linker, names)?)
    }

    /// A program over [`Call`], alone.
    ///
    /// # Errors
    /// The runtime's, if it is refused.
    pub fn typed(&self, name: &str) -> Result<TypedProgram<(), Call>, GuestError> {
        Ok(self.load(&[name])?.program(name)?.typed::<Call>()?)
    }

    /// A program, alone.
    ///
    /// # Errors
    /// The runtime's, if it is refused.
    pub fn program(&self, name: &str) -> Result<Program<()>, GuestError> {
        Ok(self.load(&[name])?.program(name)?)
    }

    /// A store for its programs.
    pub fn store(&self) -> Store<()> {
        Store::new(&self.engine, ())
    }

    /// Fills a map of 64-bit keys and values with `count` entries.
    ///
    /// # Errors
    /// The runtime's, if the map is of another kind.
    pub fn fill(map: &Map, count: u64) -> Result<(), GuestError> {
        for key in 0..count {
            map.update(&key.to_ne_bytes(), &key.to_ne_bytes(), Update::Any)?;
        }
        Ok(())
    }
}
