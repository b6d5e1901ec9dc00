"""Small networks of the families that people bring, each with inputs: those of images and sound."""

import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs, outputs, size=3, stride=1, groups=1, act=nn.ReLU):
    """A convolution with batch normalisation and an activation."""
    layers = [nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([act()] if act else []))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(4, 8, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(200, 24), nn.ReLU(), nn.Linear(24, 10), nn.LogSoftmax(dim=1),
    )


class BasicBlock(nn.Module):
    """He et al. 2015; option A pads the shortcut with zero channels, option B projects it."""

    def __init__(self, inputs, outputs, stride, option):
        super().__init__()
        self.body = nn.Sequential(conv(inputs, outputs, stride=stride), conv(outputs, outputs, act=None))
        self.grows = inputs != outputs
        self.project = conv(inputs, outputs, 1, stride, act=None) if self.grows and option == "B" else None
        self.extra = (outputs - inputs) // 2

    def forward(self, x):
        y = self.body(x)
        if self.project is not None:
            x = self.project(x)
        elif self.grows:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra, self.extra))
        return F.relu(x + y)


class ResNet(nn.Module):
    """A stem, three blocks, pooling."""

    def __init__(self, option):
        super().__init__()
        stem = [nn.MaxPool2d(3, 2, 1)] if option == "B" else []
        self.stem = nn.Sequential(conv(3, 6, 7 if stem else 3, 2 if stem else 1), *stem)
        self.blocks = nn.Sequential(*[BasicBlock(6, 6, 1, option), BasicBlock(6, 12, 2, option)])
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(12, 5)

    def forward(self, x):
        return self.head(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))


def vgg():
    layers = [conv(3, 6), conv(6, 6), nn.MaxPool2d(2), conv(6, 10), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d((2, 2))]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(40, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 5))


class Inverted(nn.Module):
    """The inverted residual of MobileNetV2; with squeeze and excitation that of EfficientNet and MobileNetV3."""

    def __init__(self, inputs, outputs, stride, act, gate=None):
        super().__init__()
        wide = inputs * 3
        self.expand = nn.Sequential(conv(inputs, wide, 1, act=act), conv(wide, wide, 3, stride, wide, act=act))
        self.squeeze = nn.Sequential(nn.Conv2d(wide, 4, 1), act(), nn.Conv2d(4, wide, 1), gate()) if gate else None
        self.project, self.same = conv(wide, outputs, 1, act=None), stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.expand(x)
        if self.squeeze is not None:
            y = y * self.squeeze(y.mean((2, 3), keepdim=True))
        y = self.project(y)
        return x + y if self.same else y


def mobile(act, gate=None):
    blocks = [Inverted(4, 4, 1, act, gate), Inverted(4, 6, 2, act, gate), Inverted(6, 6, 1, act, gate)]
    head = [conv(6, 16, 1, act=act), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 5)]
    return nn.Sequential(conv(3, 4, 3, 2, act=act), *blocks, *head)


class DenseLayer(nn.Module):
    """Batch normalisation before each convolution: none of it can be folded into the one before."""

    def __init__(self, inputs):
        super().__init__()
        first = [nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, 8, 1, bias=False)]
        self.body = nn.Sequential(*first, nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1, bias=False))

    def forward(self, x):
        return torch.cat([x, self.body(x)], 1)


def densenet():
    transition = [nn.BatchNorm2d(14), nn.ReLU(), nn.Conv2d(14, 7, 1, bias=False), nn.AvgPool2d(2)]
    tail = [nn.BatchNorm2d(11), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(11, 5)]
    return nn.Sequential(conv(3, 6), DenseLayer(6), DenseLayer(10), *transition, DenseLayer(7), *tail)


class Fire(nn.Module):
    """Iandola et al. 2016: squeeze, then two expansions side by side."""

    def __init__(self, inputs, squeeze, expand):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.small, self.large = nn.Conv2d(squeeze, expand, 1), nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.small(x)), F.relu(self.large(x))], 1)


def squeezenet():
    first = [nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)]
    fires = [Fire(6, 3, 6), Fire(12, 4, 6), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(12, 4, 8)]
    return nn.Sequential(*first, *fires, nn.Conv2d(16, 5, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class UNet(nn.Module):
    """Two levels; upsampling by nearest or linear interpolation, or by a transposed convolution."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.down1, self.down2, self.middle = conv(1, 4), conv(4, 8), conv(8, 8)
        self.up2 = nn.ConvTranspose2d(8, 8, 2, 2) if kind == "transposed" else None
        self.up1 = nn.ConvTranspose2d(8, 4, 3, 2, 1, 1) if kind == "transposed" else nn.Conv2d(8, 4, 1)
        self.side2, self.side1, self.mask = conv(16, 8), conv(8, 4), nn.Conv2d(4, 1, 1)

    def grow(self, x):
        return F.interpolate(x, scale_factor=2, mode=self.kind, align_corners=self.align())

    def align(self):
        return None if self.kind == "nearest" else False

    def forward(self, x):
        one = self.down1(x)
        two = self.down2(F.max_pool2d(one, 2))
        y = self.middle(F.max_pool2d(two, 2))
        y = self.side2(torch.cat([self.up2(y) if self.up2 else self.grow(y), two], 1))
        if self.up2:
            y = self.up1(y)
        else:
            y = F.interpolate(self.up1(y), one.shape[2:], mode=self.kind, align_corners=self.align())
        return torch.sigmoid(self.mask(self.side1(torch.cat([y, one], 1))))


def autoencoder():
    encoder = [nn.Conv2d(1, 4, 3, 2, 1), nn.LeakyReLU(0.1), nn.Conv2d(4, 8, 3, 2, 1), nn.ELU(), nn.Flatten()]
    code = [nn.Linear(128, 8), nn.Tanh(), nn.Linear(8, 128), nn.Unflatten(1, (8, 4, 4)), nn.PReLU(8)]
    decoder = [nn.ConvTranspose2d(8, 4, 3, 2, 1, 1), nn.Softplus(), nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Sigmoid()]
    return nn.Sequential(*encoder, *code, *decoder)


class ShuffleUnit(nn.Module):
    """Grouped convolutions and a shuffle of channels, on one half of the channels."""

    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        middle = conv(half, half, 3, 1, half, None)
        self.body = nn.Sequential(conv(half, half, 1), middle, conv(half, half, 1, groups=2))

    def forward(self, x):
        left, right = x.chunk(2, 1)
        batch, channels, height, width = x.shape
        y = torch.cat([left, self.body(right)], 1).view(batch, 2, channels // 2, height, width)
        return y.transpose(1, 2).reshape(batch, channels, height, width)


def shufflenet():
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)]
    return nn.Sequential(conv(3, 8, 3, 2), ShuffleUnit(8), ShuffleUnit(8), *tail)


class Square(nn.Module):
    """The activation of CryptoNets."""

    def forward(self, x):
        return x * x


def cryptonets():
    first = [nn.ConstantPad2d((0, 1, 0, 1), 0.0), nn.Conv2d(1, 3, 5, 2), Square(), nn.AvgPool2d(3, 1)]
    return nn.Sequential(*first, nn.Conv2d(3, 6, 3, 2), nn.Flatten(), nn.Linear(54, 12), Square(), nn.Linear(12, 10))


class Inception(nn.Module):
    """Branches of several sizes, one with pooling that counts its padding and one that does not."""

    def __init__(self):
        super().__init__()
        self.one, self.three = conv(3, 4, 1), nn.Sequential(conv(3, 3, 1), conv(3, 4))
        row, column = nn.Conv2d(3, 4, (1, 5), padding=(0, 2)), nn.Conv2d(4, 4, (5, 1), padding=(2, 0))
        self.flat = nn.Sequential(row, nn.ReLU(), column)
        self.wide, self.head = nn.Conv2d(3, 4, 3, padding=2, dilation=2), nn.Linear(22, 5)

    def forward(self, x):
        pooled = F.avg_pool2d(x, 3, 1, 1)
        inner = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        y = torch.cat([self.one(x), self.three(x), self.flat(x), self.wide(x), pooled, inner], 1)
        return self.head(F.relu(y).amax((2, 3)))


def video():
    first = [nn.Conv3d(2, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(4, 6, (1, 3, 3))]
    return nn.Sequential(*first, nn.CELU(), nn.AvgPool3d((2, 1, 1)), nn.Flatten(), nn.Linear(24, 5), nn.Softmax(-1))


def sound():
    """Normalisation of one sample at a time, in one dimension."""
    first = [nn.Conv1d(2, 8, 5, 2, 2), nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv1d(8, 8, 3, padding=2, dilation=2)]
    second = [nn.InstanceNorm1d(8, affine=True), nn.SELU(), nn.ReflectionPad1d(1), nn.MaxPool1d(2)]
    return nn.Sequential(*first, *second, nn.Conv1d(8, 4, 1, groups=4), nn.AdaptiveMaxPool1d(1), nn.Flatten())


class ConvNext(nn.Module):
    """Layer normalisation of channels, GELU, a scale of each channel."""

    def __init__(self):
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm, self.wide, self.back = nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.scale, self.head = nn.Parameter(torch.full((8,), 0.5)), nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.back(F.gelu(self.wide(y)))
        return self.head(F.layer_norm((x + y.permute(0, 3, 1, 2)).mean([-2, -1]), (8,)))


def batch_statistics():
    """Normalisation by the mean and deviation of the batch at hand."""
    first = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU()]
    return nn.Sequential(*first, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


def image(channels, size):
    """One image with values like those of a normalised photograph."""
    return lambda: (torch.randn(1, channels, size, size),)


# name: (network, inputs, whether the batch is left open)
CONVOLUTIONAL = {
    "lenet": (lenet, image(1, 28), True),
    "resnet_a": (lambda: ResNet("A"), image(3, 12), False),
    "resnet_b": (lambda: ResNet("B"), image(3, 24), True),
    "vgg": (vgg, image(3, 16), True),
    "mobilenetv2": (lambda: mobile(nn.ReLU6), image(3, 16), True),
    "mobilenetv3": (lambda: mobile(nn.Hardswish, nn.Hardsigmoid), image(3, 12), False),
    "efficientnet": (lambda: mobile(nn.SiLU, nn.Sigmoid), image(3, 12), False),
    "densenet": (densenet, image(3, 12), False),
    "squeezenet": (squeezenet, image(3, 31), False),
    "unet_nearest": (lambda: UNet("nearest"), image(1, 16), False),
    "unet_bilinear": (lambda: UNet("bilinear"), image(1, 16), True),
    "unet_transposed": (lambda: UNet("transposed"), image(1, 16), False),
    "autoencoder": (autoencoder, image(1, 16), False),
    "shufflenet": (shufflenet, image(3, 12), False),
    "cryptonets": (cryptonets, image(1, 20), False),
    "inception": (Inception, image(3, 10), False),
    "video": (video, lambda: (torch.randn(1, 2, 4, 8, 8),), False),
    "sound": (sound, lambda: (torch.randn(2, 2, 32),), False),
    "convnext": (ConvNext, image(3, 16), False),
    "batch_statistics": (batch_statistics, lambda: (torch.randn(3, 3, 8, 8),), False),
}
