"""Small recurrent networks, transformers and networks of tabular data, each with inputs."""

import torch
from torch import nn
from torch.nn import functional as F


class Recurrent(nn.Module):
    """Reads a sequence, and classifies by the last step's output."""

    def __init__(self, cell, **options):
        super().__init__()
        self.cell = cell(6, 8, batch_first=True, **options)
        self.head = nn.Linear(8 * (2 if options.get("bidirectional") else 1), 4)

    def forward(self, x):
        return self.head(self.cell(x)[0][:, -1])


class LastState(nn.Module):
    """Reads a sequence, steps first, and gives the cell's last state."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.LSTM(6, 8), nn.Linear(16, 4)

    def forward(self, x):
        _, (hidden, memory) = self.cell(x)
        return self.head(torch.cat([hidden[0], memory[0]], 1))


class Words(nn.Module):
    """Tokens, embedded, then a GRU."""

    def __init__(self):
        super().__init__()
        self.embed, self.cell, self.head = nn.Embedding(20, 6), nn.GRU(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, tokens):
        return self.head(self.cell(self.embed(tokens))[0].mean(1))


class Attention(nn.Module):
    """Multi-head attention in plain products; `fused` leaves them to PyTorch's one function."""

    def __init__(self, width, heads, fused):
        super().__init__()
        self.heads, self.fused = heads, fused
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = ((q @ k.transpose(-2, -1)) * (width // self.heads) ** -0.5).softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """A transformer's block, normalised before its two halves (ViT, GPT) or after (BERT)."""

    def __init__(self, width, heads, before, fused):
        super().__init__()
        self.before, self.attention = before, Attention(width, heads, fused)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        if self.before:
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))
        x = self.norm1(x + self.attention(x))
        return self.norm2(x + self.mlp(x))


class VisionTransformer(nn.Module):
    """Dosovitskiy et al. 2020: patches, a class token, positions."""

    def __init__(self, fused):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.token, self.positions = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 10, 8))
        self.blocks = nn.Sequential(*[Block(8, 2, True, fused) for _ in range(2)])
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


class Bert(nn.Module):
    """Devlin et al. 2018: tokens, positions, blocks normalised after, a pooler."""

    def __init__(self, fused):
        super().__init__()
        self.words, self.positions, self.norm = nn.Embedding(24, 8), nn.Embedding(12, 8), nn.LayerNorm(8)
        self.blocks = nn.Sequential(*[Block(8, 2, False, fused) for _ in range(2)])
        self.pooler, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, tokens):
        places = torch.arange(tokens.shape[1], device=tokens.device).unsqueeze(0)
        x = self.blocks(self.norm(self.words(tokens) + self.positions(places)))
        return self.head(torch.tanh(self.pooler(x[:, 0])))


class Encoder(nn.Module):
    """PyTorch's own encoder layer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, activation="relu", batch_first=True)

    def forward(self, x):
        return self.layer(x)


class TwoTables(nn.Module):
    """Two inputs, two outputs, and the activations that are left."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(5, 8), nn.Linear(7, 8, bias=False)
        self.gate, self.score, self.class_ = nn.Linear(16, 16), nn.Linear(16, 1), nn.Linear(16, 3)

    def forward(self, a, b):
        x = torch.cat([F.gelu(self.left(a), approximate="tanh"), F.mish(self.right(b))], 1)
        x = F.glu(torch.cat([x, self.gate(x)], 1), 1) + x.abs().clamp(0.1, 2.0) - F.hardtanh(x)
        return torch.sigmoid(self.score(x)), F.softmax(self.class_(F.softsign(x)), 1)


class Categories(nn.Module):
    """Naumov et al. 2019 (DLRM): columns of categories, each with a table of its own size, and their products."""

    def __init__(self):
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(rows, 4) for rows in (5, 9, 3)])
        self.dense, self.top = nn.Linear(3, 4), nn.Linear(10, 1)

    def forward(self, x, columns):
        rows = [table(columns[:, place]) for place, table in enumerate(self.tables)]
        z = torch.stack([F.relu(self.dense(x)), *rows], 1)
        products = z @ z.transpose(1, 2)
        left, right = [1, 2, 2, 3, 3, 3], [0, 0, 1, 0, 1, 2]
        return torch.sigmoid(self.top(torch.cat([z[:, 0], products[:, left, right]], 1)))


class Messages(nn.Module):
    """Nodes of a public graph send messages along its edges; what arrives is added."""

    def __init__(self):
        super().__init__()
        self.message, self.update = nn.Linear(4, 6), nn.Linear(10, 3)
        self.register_buffer("source", torch.tensor([0, 1, 2, 3, 4, 0, 2]))
        self.register_buffer("target", torch.tensor([1, 2, 0, 2, 2, 4, 3]))

    def forward(self, x):
        sent = F.elu(self.message(x[self.source]))
        places = self.target.unsqueeze(1).expand(-1, 6)
        return self.update(torch.cat([x, torch.zeros(5, 6).scatter_add(0, places, sent)], 1))


class Choices(nn.Module):
    """Comparisons joined and turned into numbers, a product of three operands, powers of a constant."""

    def __init__(self):
        super().__init__()
        self.first, self.weight = nn.Linear(5, 6), nn.Parameter(torch.randn(6, 4, 3))

    def forward(self, x):
        x = self.first(x)
        inner = (x > -0.4) & (x < 0.4) & torch.tensor([True, True, True, False, True, True])
        y = x.masked_fill(inner, 0.0) + torch.pow(2.0, x) * (x.amax(1, keepdim=True) > 0.5).float()
        count = ((x > 1.0) | (x < -1.0)).long().sum(1, keepdim=True)
        return torch.einsum("bi,bj,ijk->bk", y, y[:, :4], self.weight) + 0.125 * count.float()


def tokens(vocabulary, length):
    """Numbers of words."""
    return lambda: (torch.randint(vocabulary, (1, length)),)


STEPS = lambda: (torch.randn(2, 5, 6),)
# name: (network, inputs, whether the batch is left open)
SEQUENTIAL = {
    "lstm": (lambda: Recurrent(nn.LSTM, bidirectional=True), STEPS, False),
    "lstm_state": (LastState, lambda: (torch.randn(5, 2, 6),), False),
    "gru": (lambda: Recurrent(nn.GRU, num_layers=2), STEPS, False),
    "rnn": (lambda: Recurrent(nn.RNN, nonlinearity="relu"), STEPS, False),
    "words": (Words, tokens(20, 6), False),
    "vit": (lambda: VisionTransformer(False), lambda: (torch.randn(1, 3, 12, 12),), False),
    "vit_fused": (lambda: VisionTransformer(True), lambda: (torch.randn(1, 3, 12, 12),), True),
    "bert": (lambda: Bert(False), tokens(24, 8), False),
    "bert_fused": (lambda: Bert(True), tokens(24, 8), False),
    "encoder": (Encoder, lambda: (torch.randn(2, 5, 8),), False),
    "categories": (
        Categories,
        lambda: (torch.randn(4, 3), torch.stack([torch.randint(rows, (4,)) for rows in (5, 9, 3)], 1)),
        False,
    ),
    "messages": (Messages, lambda: (torch.randn(5, 4),), False),
    "choices": (Choices, lambda: (torch.randn(3, 5),), False),
    "two_tables": (TwoTables, lambda: (torch.randn(3, 5), torch.randn(3, 7)), True),
}
