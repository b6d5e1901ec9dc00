"""Ranks sentences by how near they are in meaning to the first one, from private embeddings and from plain ones.

Each sentence is one `mpc run` of the sentence encoder that minilm.py writes: the model is party 0's, the tokens and their mask are
party 1's. Of two embeddings the cosine is their product, as both have length 1.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def private(program: str, folder: Path, number: int) -> np.ndarray:
    """The embedding of a sentence, computed between two parties and a dealer, each a process."""
    output = folder / f"{number}_embedding.npy"
    inputs = [f"input_ids={folder / f'{number}_ids.npy'}", f"attention_mask={folder / f'{number}_mask.npy'}"]
    command = [program, "run", str(folder / "minilm.onnx"), "--transport", "tcp", "--quiet", "--output", str(output)]
    subprocess.run([*command, "--input", inputs[0], "--input", inputs[1]], check=True, stdout=subprocess.DEVNULL)
    return np.load(output).ravel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mpc", default="mpc", help="the program")
    parser.add_argument("--length", type=int, default=16, help="tokens of a sentence, padding included")
    parser.add_argument("--out", type=Path, default=Path("minilm"), help="the folder of what is written")
    parser.add_argument("sentences", nargs="+", help="the first is what the others are compared with")
    arguments = parser.parse_args()
    convert = [sys.executable, str(Path(__file__).with_name("minilm.py")), "--length", str(arguments.length)]
    subprocess.run([*convert, "--out", str(arguments.out), *arguments.sentences], check=True)
    session = onnxruntime.InferenceSession(arguments.out / "minilm.onnx")
    secret, plain = [], []
    for number in range(len(arguments.sentences)):
        names = {"input_ids": "ids", "attention_mask": "mask"}
        inputs = {name: np.load(arguments.out / f"{number}_{file}.npy") for name, file in names.items()}
        plain.append(session.run(None, inputs)[0].ravel())
        secret.append(private(arguments.mpc, arguments.out, number))
    cosines = {place: (secret[0] @ secret[place], plain[0] @ plain[place]) for place in range(1, len(secret))}
    print("private   plain  cosine of both embeddings")
    for place in sorted(cosines, key=lambda place: -cosines[place][0]):
        near = secret[place] @ plain[place] / np.linalg.norm(secret[place]) / np.linalg.norm(plain[place])
        print(f"{cosines[place][0]:7.4f} {cosines[place][1]:7.4f} {near:9.7f}  {arguments.sentences[place]}")
    orders = [sorted(cosines, key=lambda place: -cosines[place][which]) for which in (0, 1)]
    if orders[0] != orders[1]:
        sys.exit("the private ranking is not the plain one")


if __name__ == "__main__":
    main()
