"""The networks that are trained here, with the tensor names that the Rust crate expects."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut without parameters (option A of He et al.)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.new_channels = outputs - inputs
        # Does nothing; a place for a hook that looks at the sum before its ReLU.
        self.add = nn.Identity()

    def shortcut(self, x: Tensor) -> Tensor:
        """Every `stride`-th pixel, and zeros for the new channels, half of them before and half after."""
        if self.stride != 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.new_channels:
            before = self.new_channels // 2
            x = functional.pad(x, (0, 0, 0, 0, before, self.new_channels - before))
        return x

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self.bn1(self.conv1(x)))
        hidden = self.bn2(self.conv2(hidden))
        return functional.relu(self.add(hidden + self.shortcut(x)))


class CifarResNet(nn.Module):
    """The ResNet of He et al. (2015), section 4.2, for images of 3x32x32: 6n + 2 layers."""

    def __init__(self, n: int, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = conv3x3(3, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = stage(16, 16, blocks=n, stride=1)
        self.layer2 = stage(16, 32, blocks=n, stride=2)
        self.layer3 = stage(32, 64, blocks=n, stride=2)
        self.linear = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, BasicBlock):
                # Each block begins as its shortcut, which makes the first steps of training stable.
                nn.init.zeros_(module.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


def stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)))


def resnet32(classes: int = 10) -> CifarResNet:
    return CifarResNet(n=5, classes=classes)


class MiniOnn(nn.Module):
    """The CIFAR-10 network of Liu, Juuti, Lu and Asokan (2017), figure 13: seven convolutions with biases."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(64, 64, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(64, 64, kernel_size=3, padding=1)
        self.conv4 = nn.Conv2d(64, 64, kernel_size=3, padding=1)
        self.conv5 = nn.Conv2d(64, 64, kernel_size=3, padding=1)
        self.conv6 = nn.Conv2d(64, 64, kernel_size=1)
        self.conv7 = nn.Conv2d(64, 16, kernel_size=1)
        self.linear = nn.Linear(16 * 8 * 8, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv1(x))
        x = functional.relu(self.conv2(x))
        x = functional.avg_pool2d(x, 2)
        x = functional.relu(self.conv3(x))
        x = functional.relu(self.conv4(x))
        x = functional.avg_pool2d(x, 2)
        x = functional.relu(self.conv5(x))
        x = functional.relu(self.conv6(x))
        x = functional.relu(self.conv7(x))
        return self.linear(x.flatten(1))


def folded_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights of each convolution times the scale of the batch normalisation behind it, if any (convN and bnN)."""
    modules = dict(model.named_modules())
    folded = {}
    for name, module in modules.items():
        if isinstance(module, nn.Conv2d):
            prefix, _, last = name.rpartition(".")
            norm = modules.get(".".join(filter(None, (prefix, last.replace("conv", "bn")))))
            if norm is None:
                folded[name] = module.weight.detach()
                continue
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            folded[name] = (module.weight * scale[:, None, None, None]).detach()
    return folded
